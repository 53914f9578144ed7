#include <nlohmann/json.hpp>

#include "base/check.h"
#include "samplers/diffusion/sampler.h"
#include "tintype/text_to_image.h"

namespace tintype {
namespace {

/// One line: galleries split the "parameters" text at line ends and at these keywords.
std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

/// The name galleries know a sampler by.
std::string gallery_name(const std::string& sampler) {
  if (sampler == "ddim") return "DDIM";
  if (sampler == "euler") return "Euler";
  if (sampler == "euler_a") return "Euler a";
  if (sampler == "pndm") return "PLMS";
  if (sampler == "dpmpp_2m") return "DPM++ 2M";
  return sampler;
}

}  // namespace

std::string parameters_text(const TextToImageSettings& s) {
  std::string text = one_line(s.prompt) + "\n";
  const std::string negative = s.negative_prompt.value_or("");
  if (!negative.empty()) text += "Negative prompt: " + one_line(negative) + "\n";
  const std::string karras = s.scheduler == "karras" ? " Karras" : "";
  return text + cat("Steps: ", s.steps, ", Sampler: ", gallery_name(s.sampler), karras,
                    ", CFG scale: ", s.guidance_scale, ", Seed: ", s.seed, ", Size: ", s.width_px,
                    "x", s.height_px, ", Model: ", s.model_name, ", RNG: ",
                    s.rng == "torch" ? "CPU" : s.rng);
}

std::string settings_json(const TextToImageSettings& s) {
  nlohmann::ordered_json json = {{"prompt", s.prompt},
                                       {"negative_prompt", s.negative_prompt
                                                              ? nlohmann::ordered_json(*s.negative_prompt)
                                                              : nlohmann::ordered_json(nullptr)},
                                       {"width_px", s.width_px},
                                       {"height_px", s.height_px},
                                       {"steps", s.steps},
                                       {"guidance_scale", s.guidance_scale},
                                       {"guidance_rescale", s.guidance_rescale},
                                       {"clip_skip", s.clip_skip},
                                       {"sampler", s.sampler},
                                       {"scheduler", s.scheduler},
                                       {"seed", s.seed},
                                       {"rng", s.rng},
                                       {"model", s.model_name},
                                       {"prompt_truncated", s.prompt_truncated}};
  if (!s.refiner_name.empty()) {
    json["refiner"] = s.refiner_name;
    json["refiner_sampler"] = s.refiner_sampler;
    json["refiner_start"] = s.refiner_start;
  }
  // A prompt may hold broken UTF-8; the JSON must not.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> sampler_names() { return diffusion_sampler_names(); }
std::vector<std::string> scheduler_names() { return diffusion_scheduler_names(); }

}  // namespace tintype
