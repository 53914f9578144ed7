#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>

#include "base/check.h"
#include "samplers/diffusion/sampler.h"
#include "tintype/text_to_image.h"

namespace tintype {
namespace {

constexpr const char* kExact = "exact";

/// One line: galleries split the "parameters" text at line ends and at these keywords.
std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

/// The name galleries know a sampler or a scheduler by.
std::string label_in(const std::vector<SamplerInfo>& table, const std::string& name) {
  for (const SamplerInfo& entry : table)
    if (entry.name == name) return std::string(entry.label);
  return name;
}

/// Of a path only the last name, as of models: pictures are shared, the names of one's folders not.
std::string last_name(const std::string& text) {
  const std::filesystem::path path(text);
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

/// Galleries split the text at commas; a value with one stands in quotes.
std::string quoted(const std::string& value) {
  return value.find(',') == std::string::npos ? value : cat('"', value, '"');
}

std::vector<SamplerName> public_table(const std::vector<SamplerInfo>& table) {
  std::vector<SamplerName> result;
  for (const SamplerInfo& entry : table) {
    SamplerName name{.name = std::string(entry.name),
                     .label = std::string(entry.label),
                     .aliases = {entry.aliases.begin(), entry.aliases.end()},
                     .takes_scheduler = entry.takes_scheduler};
    // Two samplers may follow one class; its name stands for the first.
    if (!entry.class_name.empty() && canonical_sampler(entry.class_name) == entry.name)
      name.aliases.emplace_back(entry.class_name);
    result.push_back(std::move(name));
  }
  return result;
}

/// What differs from the default, which follows the picture's size.
void add_size_conditioning(nlohmann::ordered_json& json, const TextToImageSettings& s) {
  const SizeConditioning& size = s.size_conditioning;
  const auto add = [&json](const char* name, auto value, auto standard) {
    if (value != standard) json["size_conditioning"][name] = value;
  };
  add("original_width_px", size.original_width_px.value_or(s.width_px), s.width_px);
  add("original_height_px", size.original_height_px.value_or(s.height_px), s.height_px);
  add("target_width_px", size.target_width_px.value_or(s.width_px), s.width_px);
  add("target_height_px", size.target_height_px.value_or(s.height_px), s.height_px);
  const SizeConditioning standard;
  add("crop_left_px", size.crop_left_px, standard.crop_left_px);
  add("crop_top_px", size.crop_top_px, standard.crop_top_px);
  add("aesthetic_score", size.aesthetic_score, standard.aesthetic_score);
  add("negative_aesthetic_score", size.negative_aesthetic_score, standard.negative_aesthetic_score);
}

/// What a request left out to be fast, and how much that was.
void add_left_out(nlohmann::ordered_json& json, const TextToImageSettings& s) {
  if (s.network_calls && (s.reuse_threshold > 0 || !s.guidance_interval.everywhere()))
    json["network_calls"] = s.network_calls;
  if (s.reuse_threshold > 0) {
    json["reuse_threshold"] = s.reuse_threshold;
    json["reused_calls"] = s.reused_calls;
  }
  if (!s.guidance_interval.everywhere()) {
    const float high = s.guidance_interval.high;  // JSON has no infinity
    json["guidance_interval"] = {s.guidance_interval.low, std::isfinite(high)
                                                              ? nlohmann::ordered_json(high)
                                                              : nlohmann::ordered_json(nullptr)};
    json["unguided_calls"] = s.unguided_calls;
  }
}

/// Adapters as tags behind the prompt, which is how galleries and A1111 know them.
std::string adapter_tags(const TextToImageSettings& s) {
  std::string text;
  for (const AdapterSetting& one : s.adapters)
    text += one.weight == one.text_weight
                ? cat(" <lora:", one_line(one.name), ":", one.weight, ">")
                : cat(" <lora:", one_line(one.name), ":", one.text_weight, ":", one.weight, ">");
  return text;
}

/// "ink 0.8; wash 0.5": those that are in the model's weights are no part of the prompt.
std::string merged_text(const TextToImageSettings& s) {
  std::string text;
  for (const AdapterSetting& one : s.merged_adapters) {
    text += cat(text.empty() ? "" : "; ", one_line(one.name), " ", one.weight);
    if (one.text_weight != one.weight) text += cat(" (text ", one.text_weight, ")");
  }
  return text;
}

nlohmann::ordered_json adapters_json(const std::vector<AdapterSetting>& adapters) {
  nlohmann::ordered_json json;
  for (const AdapterSetting& one : adapters)
    json.push_back({{"name", one.name}, {"weight", one.weight}, {"text_weight", one.text_weight}});
  return json;
}

const char* name_of(MaskFill fill) {
  switch (fill) {
    case MaskFill::kOriginal:
      return "original";
    case MaskFill::kNoise:
      return "noise";
    case MaskFill::kBlur:
      return "blur";
  }
  return "?";
}

void add_inpaint(nlohmann::ordered_json& json, const MaskOptions& options) {
  nlohmann::ordered_json& inpaint = json["inpaint"];
  inpaint = {{"mask_blur_px", options.blur_px},
             {"mask_grow_px", options.grow_px},
             {"fill", name_of(options.fill)},
             {"composite", options.composite}};
  if (options.invert) inpaint["invert"] = true;
  if (options.only_masked) inpaint["only_masked_padding_px"] = options.only_masked_padding_px;
  const Padding& pad = options.padding;
  if (!pad.none()) inpaint["pad_px"] = {pad.left, pad.top, pad.right, pad.bottom};
}

/// In A1111's words, as far as it has them.
std::string inpaint_text(const MaskOptions& options) {
  return cat(
      ", Mask blur: ", options.blur_px,
      options.fill == MaskFill::kOriginal ? "" : cat(", Masked content: ", name_of(options.fill)),
      options.only_masked ? cat(", Inpaint area: Only masked, Masked area padding: ",
                                options.only_masked_padding_px)
                          : "");
}

}  // namespace

std::string parameters_text(const TextToImageSettings& s) {
  std::string text = one_line(s.prompt) + adapter_tags(s) + "\n";
  const std::string negative = s.negative_prompt.value_or("");
  if (!negative.empty()) text += "Negative prompt: " + one_line(negative) + "\n";
  const std::string scheduler =
      s.scheduler.empty() ? "" : " " + label_in(diffusion_schedulers(), s.scheduler);
  return text +
         cat("Steps: ", s.steps, ", Sampler: ", label_in(diffusion_samplers(), s.sampler),
             scheduler, ", CFG scale: ", s.guidance_scale, ", Seed: ", s.seed,
             ", Size: ", s.width_px, "x", s.height_px, ", Model: ", s.model_name,
             ", RNG: ", s.rng == "torch" ? "CPU" : "NV",
             s.variation_strength > 0 ? cat(", Variation seed: ", s.variation_seed,
                                            ", Variation seed strength: ", s.variation_strength)
                                      : "",
             s.strength ? cat(", Denoising strength: ", *s.strength) : "",
             s.hires_scale > 0
                 ? cat(", Hires upscale: ", s.hires_scale, ", Hires upscaler: ",
                       quoted(s.hires_upscaler.empty() ? s.hires_method : s.hires_upscaler))
                 : "",
             s.inpaint ? inpaint_text(*s.inpaint) : "",
             s.merged_adapters.empty() ? "" : cat(", Merged adapters: ", quoted(merged_text(s))),
             s.profile == kExact ? "" : cat(", Profile: ", quoted(s.profile)),
             s.reuse_threshold > 0 ? cat(", Reuse threshold: ", s.reuse_threshold) : "",
             s.guidance_interval.everywhere()
                 ? ""
                 : cat(", Guidance interval: ", s.guidance_interval.low, "-",
                       s.guidance_interval.high));
}

std::string settings_json(const TextToImageSettings& s) {
  const auto negative = s.negative_prompt ? nlohmann::ordered_json(*s.negative_prompt)
                                          : nlohmann::ordered_json(nullptr);
  nlohmann::ordered_json json = {{"prompt", s.prompt},
                                 {"negative_prompt", negative},
                                 {"width_px", s.width_px},
                                 {"height_px", s.height_px},
                                 {"steps", s.steps},
                                 {"guidance_scale", s.guidance_scale},
                                 {"guidance_rescale", s.guidance_rescale},
                                 {"clip_skip", s.clip_skip},
                                 {"sampler", s.sampler},
                                 {"scheduler", s.scheduler},
                                 {"seed", s.seed},
                                 {"prompt_syntax", s.prompt_syntax},
                                 {"rng", s.rng},
                                 {"model", s.model_name},
                                 {"prompt_truncated", s.prompt_truncated}};
  if (!s.prompt_2.empty()) json["prompt_2"] = s.prompt_2;
  if (!s.negative_prompt_2.empty()) json["negative_prompt_2"] = s.negative_prompt_2;
  add_size_conditioning(json, s);
  if (!s.embeddings.empty()) json["embeddings"] = last_name(s.embeddings);
  if (!s.adapters.empty()) json["adapters"] = adapters_json(s.adapters);
  if (!s.merged_adapters.empty()) json["merged_adapters"] = adapters_json(s.merged_adapters);
  if (s.eta > 0) json["eta"] = s.eta;
  if (s.profile != kExact) json["profile"] = s.profile;
  add_left_out(json, s);
  if (s.variation_strength > 0) {
    json["variation_seed"] = s.variation_seed;
    json["variation_strength"] = s.variation_strength;
  }
  if (s.strength) json["strength"] = *s.strength;
  if (s.hires_scale > 0) {
    json["hires_scale"] = s.hires_scale;
    json["hires_method"] = s.hires_method;
    if (!s.hires_upscaler.empty()) json["hires_upscaler"] = s.hires_upscaler;
  }
  if (s.inpaint) add_inpaint(json, *s.inpaint);
  if (!s.refiner_name.empty()) {
    json["refiner"] = s.refiner_name;
    json["refiner_sampler"] = s.refiner_sampler;
    json["refiner_start"] = s.refiner_start;
    if (s.refiner_profile != kExact) json["refiner_profile"] = s.refiner_profile;
  }
  // A prompt may hold broken UTF-8; the JSON must not.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<SamplerName> sampler_table() { return public_table(diffusion_samplers()); }
std::vector<SamplerName> scheduler_table() { return public_table(diffusion_schedulers()); }
std::vector<std::string> sampler_names() { return diffusion_sampler_names(); }
std::vector<std::string> scheduler_names() { return diffusion_scheduler_names(); }

}  // namespace tintype
