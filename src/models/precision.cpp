#include "models/precision.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"

namespace tintype {
namespace {

constexpr WeightFormat kStored = WeightFormat::kStored, kInt8 = WeightFormat::kInt8;
constexpr const char* kExact = "exact";

/// First match wins. Kept as stored: what meets the outside (first and last convolution), and what
/// is too small to gain anything and is added to every position (the time embedding).
PrecisionPlan balanced(const std::string& class_name) {
  if (class_name == "UNet2DConditionModel")
    return {{{"conv_in", kStored},
             {"conv_out", kStored},
             {"time_embedding.*", kStored},
             {"add_embedding.*", kStored},
             {"*.time_emb_proj", kStored},
             {"*", kInt8}}};
  if (class_name == "AutoencoderKL")
    return {{{"*.conv_in", kStored},
             {"*.conv_out", kStored},
             {"quant_conv", kStored},
             {"post_quant_conv", kStored},
             {"*", kInt8}}};
  return {};  // text encoders run once: a small part of the time, and every step reads their words
}

/// The time embedding's projections are a tenth of SD 1.5's stored weights.
PrecisionPlan low_memory(const std::string& class_name) {
  if (class_name == "UNet2DConditionModel")
    return {{{"conv_in", kStored},
             {"conv_out", kStored},
             {"time_embedding.*", kStored},
             {"add_embedding.*", kStored},
             {"*", kInt8}}};
  if (class_name.starts_with("CLIPTextModel"))
    return {{{"text_projection", kStored}, {"*", kInt8}}};
  return balanced(class_name);
}

PrecisionPlan exact(const std::string&) { return {}; }

struct Profile {
  const char* name;
  PrecisionPlan (*plan)(const std::string& class_name);
  float reuse_threshold = 0;
};

constexpr std::array kProfiles = {Profile{kExact, exact}, Profile{"balanced", balanced},
                                  Profile{"fast", balanced, 0.2f},
                                  Profile{"low-memory", low_memory}};

constexpr std::array kParts = {"unet", "vae", "text_encoder"};

[[noreturn]] void refuse(std::string_view what, std::string_view given,
                         const std::vector<std::string>& known) {
  fail(ErrorKind::kInvalidArgument, "profile", what, " ", unknown_name(given, known));
}

const Profile& profile_of(std::string_view name) {
  for (const Profile& profile : kProfiles)
    if (name == profile.name) return profile;
  refuse("a profile", name, profile_names());
}

}  // namespace

std::vector<std::string> profile_names() {
  std::vector<std::string> names;
  for (const Profile& profile : kProfiles) names.emplace_back(profile.name);
  return names;
}

PrecisionPlan precision_plan(const std::string& profile, const std::string& class_name) {
  return profile_of(profile).plan(class_name);
}

float reuse_threshold(const std::string& profile) { return profile_of(profile).reuse_threshold; }

ProfileChoice ProfileChoice::parse(std::string_view text) {
  ProfileChoice choice;
  bool all_given = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(",+"), text.size());
    const std::string_view item = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos) {
      TT_REQUIRE(!all_given, "profile", "takes one profile for the whole model, got a second: \"",
                 printable(item), "\"; others are for a part, such as vae=exact");
      choice.all_ = profile_of(item).name;
      all_given = true;
      continue;
    }
    const std::string part(item.substr(0, equals));
    if (std::find(kParts.begin(), kParts.end(), part) == kParts.end())
      refuse("a part of the model", part, {kParts.begin(), kParts.end()});
    const bool first = choice.parts_.emplace(part, profile_of(item.substr(equals + 1)).name).second;
    TT_REQUIRE(first, "profile", "takes one profile for each part, got two for ", part);
  }
  std::erase_if(choice.parts_, [&](const auto& entry) { return entry.second == choice.all_; });
  return choice;
}

const std::string& ProfileChoice::of(std::string_view component) const {
  const auto part = parts_.find(component.starts_with("text_encoder") ? "text_encoder" : component);
  return part == parts_.end() ? all_ : part->second;
}

std::string ProfileChoice::text() const {
  std::string text = all_;
  for (const auto& [part, profile] : parts_) text += cat(",", part, "=", profile);
  return text;
}

}  // namespace tintype
