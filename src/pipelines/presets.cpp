#include "tintype/presets.h"

#include "base/check.h"
#include "base/text.h"

namespace tintype {

std::vector<Preset> preset_table() {
  return {
      {.name = "ultra_fast",
       .purpose = "A first look: few steps of a smaller picture, steps reused where little changes",
       .steps = 10,
       .sampler = "dpmpp_2m",
       .scheduler = "karras",
       .guidance_scale = 5.0f,
       .size_scale = 0.75,
       .profile = "fast"},
      {.name = "balanced",
       .purpose = "The usual choice: 8-bit arithmetic, which the eye does not see",
       .steps = 20,
       .sampler = "dpmpp_2m",
       .scheduler = "karras",
       .profile = "balanced"},
      {.name = "quality",
       .purpose = "For a picture to keep: more steps, arithmetic as exact as the weights",
       .steps = 40,
       .sampler = "dpmpp_2m",
       .scheduler = "karras",
       .profile = "exact"},
      {.name = "low_memory",
       .purpose = "The least memory: 8-bit weights, one part of the model loaded at a time",
       .steps = 20,
       .sampler = "dpmpp_2m",
       .scheduler = "karras",
       .profile = "low-memory",
       .offload = "sequential"},
      // The settings that the authors of the distilled models give.
      {.name = "lcm",
       .purpose = "For models distilled to latent consistency (LCM)",
       .steps = 4,
       .sampler = "lcm",
       .guidance_scale = 1.0f},
      {.name = "turbo",
       .purpose = "For SD-Turbo and SDXL-Turbo; one step is enough for many pictures",
       .steps = 4,
       .sampler = "euler_a",
       .guidance_scale = 1.0f,
       .timestep_spacing = "trailing"},
      {.name = "lightning",
       .purpose = "For SDXL-Lightning, with the steps it was distilled to",
       .steps = 4,
       .sampler = "euler",
       .guidance_scale = 1.0f,
       .timestep_spacing = "trailing"},
  };
}

Preset find_preset(std::string_view name) {
  std::vector<std::string> names;
  for (Preset& preset : preset_table()) {
    if (preset.name == name) return std::move(preset);
    names.push_back(preset.name);
  }
  fail(ErrorKind::kInvalidArgument, "preset", unknown_name(name, names));
}

void apply_preset(const Preset& preset, TextToImageRequest& request, LoadOptions& load) {
  if (!request.steps) request.steps = preset.steps;
  if (!request.guidance_scale) request.guidance_scale = preset.guidance_scale;
  if (request.sampler.empty()) {
    request.sampler = preset.sampler;
    if (request.scheduler.empty()) request.scheduler = preset.scheduler;
  }
  if (request.size_scale == 1) request.size_scale = preset.size_scale;
  if (load.profile.empty()) load.profile = preset.profile;
  if (load.offload.empty()) load.offload = preset.offload;
  if (load.timestep_spacing.empty()) load.timestep_spacing = preset.timestep_spacing;
}

}  // namespace tintype
