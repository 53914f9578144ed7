/// Step rules of diffusion: which noise levels a run visits and how a network's answer moves the
/// latents. Knows no network. One file per sampler and one line in sampler_registry.cpp.
/// Names and defaults follow diffusers; `from_config` semantics: a sampler chosen by name keeps the
/// checkpoint's betas, spacing, offset and prediction type.
/// Thread-safety: functions are; a Sampler belongs to one thread.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "samplers/diffusion/noise_schedule.h"
#include "tensor/tensor.h"

namespace tintype {

/// Standard normal noise of the given [B,H,W,C] shape, on the host, drawn from the request's stream
/// in the reference's order. Called only by samplers that add noise.
using NoiseSource = std::function<Tensor(const Shape& shape)>;

/// State of one run over one latent batch; single-thread. Latents [B,H,W,C] f32, any device.
class Sampler {
 public:
  virtual ~Sampler() = default;
  /// Timestep of each network call, in order; its length is the number of calls (PNDM makes one or
  /// more above the steps asked for). May be fractional, and -1 (see spaced_timesteps).
  virtual std::span<const float> timesteps() const = 0;
  /// Standard deviation of the start latents: start = init_noise_sigma * randn.
  virtual float init_noise_sigma() const { return 1.0f; }
  /// What the network sees at call `i`.
  virtual Tensor scale_model_input(const Tensor& x, int i) const {
    (void)i;
    return x;
  }
  /// Latents after call `i`. Calls come in order from 0, each once.
  virtual Tensor step(const Tensor& model_output, int i, const Tensor& x,
                      const NoiseSource& noise) = 0;
};

struct SamplerOptions {
  std::string name = {};       ///< "ddim", "euler", ...
  std::string scheduler = {};  ///< "" is the checkpoint's own spacing of noise levels; "karras"
  int steps = 20;              ///< 1..num_train_timesteps
};

/// throws kInvalidArgument: unknown name (with the nearest), a scheduler this sampler lacks, steps,
///        also when the checkpoint's spacing leaves no room for so many steps;
///        kUnsupported: the config asks for what this sampler does not do
std::unique_ptr<Sampler> make_sampler(const NoiseScheduleConfig& config,
                                      const SamplerOptions& options);

/// Sampler name for a `_class_name` of scheduler_config.json ("DDIMScheduler" -> "ddim").
/// throws kUnsupported naming the class and the list
std::string sampler_for_class(std::string_view class_name);
bool has_sampler_for_class(std::string_view class_name);

std::vector<std::string> diffusion_sampler_names();
std::vector<std::string> diffusion_scheduler_names();

/// The config as diffusers' StableDiffusionPipeline (not the XL one) leaves it: on construction it
/// sets steps_offset to 1 and clip_sample to false, in the file's values and, for the file's own
/// class, also in that class's defaults. A sampler of another class still takes its own defaults
/// for keys that the file lacks.
NoiseScheduleConfig stable_diffusion_config(NoiseScheduleConfig config,
                                            std::string_view sampler_name);

}  // namespace tintype
