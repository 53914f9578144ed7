/// Named presets: rows of data that fill in what a request leaves open. Public. Plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tintype/engine.h"
#include "tintype/text_to_image.h"

namespace tintype {

/// Empty and unset members leave the model's own setting.
struct Preset {
  std::string name;
  std::string purpose;  ///< in a sentence
  std::optional<int> steps = {};
  std::string sampler = {}, scheduler = {};
  std::optional<float> guidance_scale = {};
  double size_scale = 1;              ///< of the model's size; see TextToImageRequest::size_scale
  std::string profile = {};           ///< see LoadOptions::profile
  std::string offload = {};           ///< see LoadOptions::offload
  std::string timestep_spacing = {};  ///< see LoadOptions::timestep_spacing
};

std::vector<Preset> preset_table();

/// throws kInvalidArgument proposing the nearest name
Preset find_preset(std::string_view name);

/// Sets what `request` and `load` leave open; what they say wins. A sampler of the request's own
/// also keeps the preset's scheduler out.
void apply_preset(const Preset& preset, TextToImageRequest& request, LoadOptions& load);

}  // namespace tintype
