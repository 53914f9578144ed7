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

#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/noise_schedule.h"
#include "tensor/tensor.h"
#include "tintype/text_to_image.h"  // SamplerChoice, split_sampler_name

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
  /// The call with which step `step` begins; of a sampler with two calls for a step, twice that.
  virtual int first_call(int step) const { return step; }
  /// Starts the run at call `first`, which begins a step: nothing is known of the calls before.
  /// Called before the first step, if at all.
  virtual void begin_at(int first) { (void)first; }
  /// Signal and noise of a picture noised for call `i`, as the reference's add_noise: the level of
  /// the latents there, but for a step's second call half-way, which gets the step's end.
  virtual SignalNoise level(int i) const = 0;
  /// Latents after call `i`. Calls come in order, each once, from 0 or where begin_at() said.
  virtual Tensor step(const Tensor& model_output, int i, const Tensor& x,
                      const NoiseSource& noise) = 0;
};

/// Standard normal noise for a stochastic solver's step between two noise levels.
using StepNoise = std::function<Tensor(const Shape& shape, float sigma_from, float sigma_to)>;

struct SamplerOptions {
  std::string name = {};  ///< "ddim", "DPM++ 2M", ...: see diffusion_samplers()
  std::string scheduler =
      {};             ///< "" is the checkpoint's own spacing of noise levels; "karras", ...
  int steps = 20;     ///< 1..num_train_timesteps
  bool sdxl = false;  ///< which of ays' two published tables the checkpoint takes
  double eta = 0;     ///< tcd: 0..1, how far each step goes below its level and back up with noise
  /// The dpmpp_*sde samplers' noise; when empty, a Brownian path (brownian_path.h) keyed by one
  /// draw from the request's stream. For tests, which inject the reference's.
  StepNoise step_noise = {};
};

/// One line of the table of samplers, or of schedulers. Views into static text.
struct SamplerInfo {
  std::string_view name;        ///< canonical
  std::string_view label;       ///< as A1111 and galleries write it
  std::string_view class_name;  ///< diffusers class whose rule it is; "" for k-diffusion's
  std::vector<std::string_view> aliases;  ///< further names in ComfyUI, A1111 and diffusers
  bool takes_scheduler = true;            ///< has schedulers other than the checkpoint's spacing
};
std::vector<SamplerInfo> diffusion_samplers();
std::vector<SamplerInfo> diffusion_schedulers();

/// The canonical name for any name or alias, whatever its case, spaces, hyphens and underscores
/// ("DPM++ 2M SDE" is dpmpp_2m_sde). throws kInvalidArgument proposing the nearest
std::string canonical_sampler(std::string_view name);
/// The same for schedulers (split_sampler_name: for both in one); "" and the names of the checkpoint's own spacing ("automatic") are "".
std::string canonical_scheduler(std::string_view name);

/// Names may be aliases. throws kInvalidArgument: unknown name, a scheduler this sampler lacks,
/// steps,
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
/// The same of StableDiffusionInpaintPipeline, which leaves clip_sample alone and has PNDM skip its
/// Runge-Kutta start.
NoiseScheduleConfig stable_diffusion_inpaint_config(NoiseScheduleConfig config,
                                                    std::string_view sampler_name);

}  // namespace tintype
