#include "http/a1111_names.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"
#include "http/ascii.h"
#include "http/json_members.h"
#include "tintype/text_to_image.h"

namespace tintype::http {
namespace {

/// The scheduler that A1111 takes for a sampler when it is told "Automatic".
/// source  stable-diffusion-webui 1.10, modules/sd_samplers_kdiffusion.py
constexpr std::pair<std::string_view, std::string_view> kSamplersOwn[] = {
    {"dpmpp_2m", "karras"},
    {"dpmpp_sde", "karras"},
    {"dpmpp_2s_a", "karras"},
    {"dpm2", "karras"},
    {"dpm2_a", "karras"},
    {"restart", "karras"},
    {"dpmpp_2m_sde", "exponential"},
    {"dpmpp_3m_sde", "exponential"},
    {"euler", "normal"},
    {"euler_a", "normal"},
    {"heun", "normal"},
    {"lms", "normal"}};

struct LatentMode {
  std::string_view name, method;
};
constexpr LatentMode kLatentModes[] = {{"Latent", "latent"},
                                       {"Latent (bicubic)", "latent-bicubic"}};

/// Letters and digits in lower case, "++" as "pp": how names are compared.
std::string folded(std::string_view name) {
  std::string result;
  for (const char c : lower(name)) {
    if (c == '+')
      result += 'p';
    else if (c != ' ' && c != '_' && c != '-')
      result += c;
  }
  return result;
}

bool stands_for(const SamplerName& entry, const std::string& wanted) {
  return folded(entry.name) == wanted || folded(entry.label) == wanted ||
         std::any_of(entry.aliases.begin(), entry.aliases.end(),
                     [&](const std::string& alias) { return folded(alias) == wanted; });
}

Json with_aliases(const SamplerName& entry) {
  std::vector<std::string> aliases = {entry.name};
  aliases.insert(aliases.end(), entry.aliases.begin(), entry.aliases.end());
  return aliases;
}

constexpr std::array<std::string_view, 4> kFileEndings = {".safetensors", ".ckpt", ".gguf",
                                                          ".tintype"};

const std::vector<std::string>& sample_formats() {
  static const std::vector<std::string> all = {"png", "jpg", "jpeg", "webp"};
  return all;
}

}  // namespace

A1111Sampler a1111_sampler(std::string_view sampler, std::string_view scheduler) {
  const bool automatic = scheduler.empty() || folded(scheduler) == "automatic";
  A1111Sampler chosen{std::string(sampler), automatic ? std::string() : std::string(scheduler)};
  const std::vector<SamplerName> samplers = sampler_table();
  for (const SamplerName& entry : samplers) {
    if (!stands_for(entry, folded(sampler))) continue;
    chosen.sampler = entry.name;
    if (!entry.takes_scheduler) {
      chosen.scheduler.clear();  // A1111 ignores it, too
    } else if (automatic) {
      for (const auto& [name, own] : kSamplersOwn)
        if (name == entry.name) chosen.scheduler = own;
    }
    break;
  }
  return chosen;
}

std::optional<std::string> a1111_hires_method(std::string_view upscaler, const A1111Names& names) {
  for (const LatentMode& mode : kLatentModes)
    if (upscaler == mode.name) return std::string(mode.method);
  // "None" leaves the enlarging to the last step of A1111's upscaling, which is Lanczos.
  if (upscaler == "None" || upscaler == "Lanczos") return "lanczos";
  if (std::find(names.upscalers.begin(), names.upscalers.end(), upscaler) != names.upscalers.end())
    return "network";
  return std::nullopt;
}

std::string a1111_model_name(std::string_view title, const A1111Names& names) {
  std::string name(title);
  // "name.safetensors [1a2b3c4d]"
  if (name.ends_with(']'))
    if (const size_t bracket = name.rfind(" ["); bracket != std::string::npos) name.resize(bracket);
  const auto find = [&](const std::string& wanted) -> const std::string* {
    for (const std::string& known : names.models)
      if (known == wanted) return &known;
    for (const std::string& known : names.models)
      if (lower(known) == lower(wanted)) return &known;
    return nullptr;
  };
  if (const std::string* known = find(name)) return *known;
  for (const std::string_view ending : kFileEndings)
    if (lower(name).ends_with(ending))
      if (const std::string* known = find(name.substr(0, name.size() - ending.size())))
        return *known;
  fail(ErrorKind::kNotFound, "sd_model_checkpoint", unknown_name(name, names.models));
}

A1111Options a1111_options(const Json& changes, A1111Options options, const A1111Names& names,
                           std::vector<std::string>& warnings) {
  TT_REQUIRE(changes.is_object(), "override_settings", "must be an object");
  Members members(changes);
  if (const auto title = members.text("sd_model_checkpoint"); title && !title->empty())
    options.model = a1111_model_name(*title, names);
  if (const auto stop = members.integer("CLIP_stop_at_last_layers", 1, 12))
    options.clip_stop_at_last_layers = static_cast<int>(*stop);
  if (const auto format = members.choice("samples_format", sample_formats()))
    options.samples_format = *format == "jpeg" ? "jpg" : *format;
  if (const auto quality = members.integer("jpeg_quality", 1, 100))
    options.jpeg_quality = static_cast<int>(*quality);
  if (const auto source = members.choice("randn_source", {"GPU", "CPU", "NV"}))
    options.randn_source = *source;
  if (const auto vae = members.text("sd_vae");
      vae && !vae->empty() && *vae != "Automatic" && *vae != "None")
    fail(ErrorKind::kUnsupported, "sd_vae",
         "must be \"Automatic\": each model has its autoencoder here, got \"", printable(*vae, 60),
         "\"");
  if (members.integer("eta_noise_seed_delta", -INT32_MAX, INT32_MAX).value_or(0) != 0)
    fail(ErrorKind::kUnsupported, "eta_noise_seed_delta", "must be 0 here, got another number");
  // Read from GET /options and sent back by clients; the hash follows from the checkpoint.
  members.ignore({"sd_checkpoint_hash", "live_previews_enable", "show_progress_every_n_steps",
                  "img2img_fix_steps"});
  for (const std::string& name : members.rest())
    warnings.push_back("the option \"" + printable(name, 60) + "\" has no effect");
  return options;
}

Json a1111_options_json(const A1111Options& options, const A1111Names& names) {
  const std::string model =
      !options.model.empty() || names.models.empty() ? options.model : names.models.front();
  return {{"sd_model_checkpoint", model},
          {"sd_checkpoint_hash", ""},
          {"sd_vae", "Automatic"},
          {"CLIP_stop_at_last_layers", options.clip_stop_at_last_layers},
          {"samples_format", options.samples_format},
          {"jpeg_quality", options.jpeg_quality},
          {"randn_source", options.randn_source},
          {"eta_noise_seed_delta", 0},
          {"live_previews_enable", true},
          {"show_progress_every_n_steps", 1},
          {"img2img_fix_steps", false}};
}

Json a1111_samplers() {
  Json list = Json::array();
  for (const SamplerName& entry : sampler_table()) {
    Json options = Json::object();
    for (const auto& [name, own] : kSamplersOwn)
      if (name == entry.name && own != "normal") options["scheduler"] = own;
    list.push_back({{"name", entry.label}, {"aliases", with_aliases(entry)}, {"options", options}});
  }
  return list;
}

Json a1111_schedulers() {
  Json list = Json::array();
  const auto add = [&](const std::string& name, const std::string& label, const Json& aliases) {
    list.push_back({{"name", name},
                    {"label", label},
                    {"aliases", aliases},
                    {"default_rho", -1},
                    {"need_inner_model", false}});
  };
  add("automatic", "Automatic", nullptr);
  for (const SamplerName& entry : scheduler_table())
    add(entry.name, entry.label, entry.aliases.empty() ? Json(nullptr) : Json(entry.aliases));
  return list;
}

Json a1111_latent_upscale_modes() {
  Json list = Json::array();
  for (const LatentMode& mode : kLatentModes) list.push_back({{"name", mode.name}});
  return list;
}

Json a1111_models(const A1111Names& names) {
  Json list = Json::array();
  // A file's place and hash are the server's own business: names are enough to choose by.
  for (const std::string& name : names.models)
    list.push_back({{"title", name},
                    {"model_name", name},
                    {"hash", nullptr},
                    {"sha256", nullptr},
                    {"filename", name},
                    {"config", nullptr}});
  return list;
}

Json a1111_upscalers(const A1111Names& names) {
  Json list = Json::array();
  std::vector<std::string> all = {"None"};
  all.insert(all.end(), names.upscalers.begin(), names.upscalers.end());
  for (const std::string& name : all)
    list.push_back({{"name", name},
                    {"model_name", nullptr},
                    {"model_path", nullptr},
                    {"model_url", nullptr},
                    {"scale", 4}});
  return list;
}

Json a1111_loras(const std::vector<std::string>& adapters) {
  Json list = Json::array();
  for (const std::string& name : adapters)
    list.push_back({{"name", name}, {"alias", name}, {"path", name}, {"metadata", Json::object()}});
  return list;
}

}  // namespace tintype::http
