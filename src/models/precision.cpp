#include "models/precision.h"

#include <algorithm>

#include "base/text.h"

namespace tintype {
namespace {

constexpr WeightFormat kStored = WeightFormat::kStored, kInt8 = WeightFormat::kInt8;

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

}  // namespace

std::vector<std::string> profile_names() { return {"exact", "balanced"}; }

PrecisionPlan precision_plan(const std::string& profile, const std::string& class_name) {
  const std::vector<std::string> known = profile_names();
  if (std::find(known.begin(), known.end(), profile) == known.end()) {
    const std::string nearest = nearest_name(profile, known);
    fail(ErrorKind::kInvalidArgument, "profile", "must be one of exact, balanced, got \"",
         printable(profile), "\"", nearest.empty() ? "" : cat("; did you mean ", nearest, "?"));
  }
  return profile == "exact" ? PrecisionPlan{} : balanced(class_name);
}

}  // namespace tintype
