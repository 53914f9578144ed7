/// Request and result of text to image. Public. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tintype/image.h"

namespace tintype {

/// One picture from one prompt. Unset members take the checkpoint's default. Validated by the
/// pipeline, not by the caller.
struct TextToImageRequest {
  std::string prompt = {};               ///< UTF-8; may be empty
  std::string negative_prompt = {};      ///< what to steer away from; used when guidance_scale > 1
  std::optional<int> width_px = {};      ///< multiple of ModelInfo::size_multiple_px
  std::optional<int> height_px = {};
  std::optional<int> steps = {};         ///< 1..1000; time is linear in it
  std::optional<float> guidance_scale = {};  ///< at most 1 skips the unconditional pass
  std::string sampler = {};              ///< "" is the checkpoint's own; see sampler_names()
  std::string scheduler = {};            ///< "" is the checkpoint's own spacing; see scheduler_names()
  std::optional<uint64_t> seed = {};     ///< unset: drawn once and returned with the picture
  std::string rng = "torch";             ///< noise contract: "torch" is PyTorch's CPU generator
};

/// The request with every default filled in: what was really drawn.
struct TextToImageSettings {
  std::string prompt, negative_prompt;
  int width_px = 0, height_px = 0, steps = 0;
  float guidance_scale = 0;
  std::string sampler, scheduler;
  uint64_t seed = 0;
  std::string rng;
  std::string model_name;                ///< the checkpoint's folder name
  bool prompt_truncated = false;         ///< the prompt was longer than the encoder's window
};

/// Wall-clock seconds per stage.
struct StageTimings {
  double encode_prompt_s = 0, denoise_s = 0, decode_s = 0, total_s = 0;
  std::vector<double> step_s;            ///< one entry per network call
};

struct TextToImageResult {
  Image image;
  TextToImageSettings settings;
  StageTimings timings;
};

/// The settings in the form that galleries read from a PNG's "parameters" chunk (A1111's).
std::string parameters_text(const TextToImageSettings& settings);
/// The same as one JSON object.
std::string settings_json(const TextToImageSettings& settings);

/// A sampler or a scheduler, and every name that stands for it.
struct SamplerName {
  std::string name;                  ///< canonical
  std::string label;                 ///< as A1111 and galleries write it
  std::vector<std::string> aliases;  ///< names in ComfyUI, A1111 and diffusers, class name included
  bool takes_scheduler = false;      ///< samplers: has schedulers beside the checkpoint's spacing
};
/// Names are accepted whatever their case, spaces, hyphens and underscores.
std::vector<SamplerName> sampler_table();
std::vector<SamplerName> scheduler_table();

/// The canonical names that TextToImageRequest::sampler and ::scheduler accept.
std::vector<std::string> sampler_names();
std::vector<std::string> scheduler_names();

}  // namespace tintype
