// Denoising diffusion implicit models, deterministic (eta 0).
// source  Song et al. 2020, arXiv:2010.02502, equation 12; diffusers DDIMScheduler
#include <cmath>

#include "base/check.h"
#include "ops/ops.h"
#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "ddim";

class Ddim final : public Sampler {
 public:
  Ddim(const NoiseScheduleConfig& config, int steps) : config_(config) {
    const std::vector<float> table = alphas_cumprod(config, {});
    const float final_alpha = config.set_alpha_to_one.value_or(true) ? 1.0f : table.front();
    // The stride back is the leading one for every spacing: a surprise of the reference that makes
    // its trailing and linspace runs skip or repeat a level when steps do not divide the table.
    const int stride = config.num_train_timesteps / steps;
    for (const double t :
         spaced_timesteps(config.num_train_timesteps,
                          {.spacing = config.timestep_spacing.value_or(TimestepSpacing::kLeading),
                          .steps = steps,
                          .steps_offset = config.steps_offset.value_or(0)})) {
      const auto here = static_cast<int64_t>(t);
      const int64_t next = here - stride;
      const float alpha = level_at(kName, table, here, steps);
      // Only the last level of a table with zero terminal signal-to-noise ratio gets here; the
      // reference divides by zero and returns NaN, unless clipping makes a picture of infinity.
      if (alpha == 0 && config.prediction_type == PredictionType::kEpsilon && !bounds_picture())
        fail(ErrorKind::kUnsupported, kName,
             "prediction_type epsilon cannot start from pure noise, "
             "as rescale_betas_zero_snr with trailing or linspace spacing does; such checkpoints "
             "predict v");
      const float alpha_next = next >= 0 ? level_at(kName, table, next, steps) : final_alpha;
      timesteps_.push_back(static_cast<float>(t));
      here_.push_back({std::sqrt(alpha), std::sqrt(1 - alpha)});
      next_.push_back({std::sqrt(alpha_next), std::sqrt(1 - alpha_next)});
    }
  }

  std::span<const float> timesteps() const override { return timesteps_; }
  SignalNoise level(int i) const override { return here_[static_cast<size_t>(i)]; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x, const NoiseSource&) override {
    const SignalNoise& here = here_[static_cast<size_t>(i)];
    const SignalNoise& next = next_[static_cast<size_t>(i)];
    Tensor picture = picture_of(config_.prediction_type, here, x, model_output);
    const Tensor noise = noise_of(config_.prediction_type, here, x, model_output);
    if (config_.thresholding)
      picture = dynamic_threshold(picture,
                                  {.ratio = static_cast<float>(config_.dynamic_thresholding_ratio),
                                   .max = static_cast<float>(config_.sample_max_value)});
    else if (clips())
      picture = clip(picture, static_cast<float>(config_.clip_sample_range));
    return ops::weighted_sum({{next.alpha, &picture}, {next.sigma, &noise}});
  }

 private:
  bool clips() const { return config_.clip_sample.value_or(true); }
  bool bounds_picture() const { return config_.thresholding || clips(); }

  NoiseScheduleConfig config_;
  std::vector<float> timesteps_;
  std::vector<SignalNoise> here_, next_;  // per call: the level it starts from and steps to
};

}  // namespace

std::unique_ptr<Sampler> make_ddim(const NoiseScheduleConfig& config,
                                   const SamplerOptions& options) {
  return std::make_unique<Ddim>(config, options.steps);
}

}  // namespace tintype
