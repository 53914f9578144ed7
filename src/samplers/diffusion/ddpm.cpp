// Denoising diffusion probabilistic models: the posterior's mean, and noise of its variance.
// source  Ho et al. 2020, arXiv:2006.11239, equation 7; diffusers DDPMScheduler
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/text.h"
#include "ops/ops.h"
#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "ddpm";

/// Factor of the noise in a step; `beta` of the step, `posterior` its variance.
float noise_factor(const std::string& variance_type, float beta, float posterior) {
  const float variance = std::max(posterior, 1e-20f);
  if (variance_type == "fixed_small") return std::sqrt(variance);
  if (variance_type == "fixed_small_log") return std::exp(0.5f * std::log(variance));
  if (variance_type == "fixed_large") return std::sqrt(beta);
  fail(ErrorKind::kUnsupported, kName,
       "variance_type must be fixed_small, fixed_small_log or fixed_large, got \"",
       printable(variance_type, 80), "\"; models that predict variance are not supported");
}

class Ddpm final : public Sampler {
 public:
  Ddpm(const NoiseScheduleConfig& config, int steps) : config_(config) {
    const std::vector<float> table = alphas_cumprod(config, {});
    const std::vector<double> times =
        spaced_timesteps(config.num_train_timesteps,
                         {.spacing = config.timestep_spacing.value_or(TimestepSpacing::kLeading),
                          .steps = steps,
                          .steps_offset = config.steps_offset.value_or(0)});
    for (size_t i = 0; i < times.size(); ++i) {
      const double next = i + 1 < times.size() ? times[i + 1] : -1;
      const float alpha = level_at(kName, table, static_cast<int64_t>(times[i]), steps);
      const float alpha_next =
          next >= 0 ? level_at(kName, table, static_cast<int64_t>(next), steps) : 1.0f;
      if (alpha == 0 && config.prediction_type == PredictionType::kEpsilon && !bounds_picture())
        fail(ErrorKind::kUnsupported, kName,
             "prediction_type epsilon cannot start from pure noise, "
             "as rescale_betas_zero_snr with trailing or linspace spacing does; such checkpoints "
             "predict v");
      timesteps_.push_back(static_cast<float>(times[i]));
      moves_.push_back(move(alpha, alpha_next, times[i] > 0));
    }
  }

  std::span<const float> timesteps() const override { return timesteps_; }
  SignalNoise level(int i) const override { return moves_[static_cast<size_t>(i)].here; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& noise) override {
    const Move& m = moves_[static_cast<size_t>(i)];
    Tensor picture = picture_of(config_.prediction_type, m.here, x, model_output);
    if (config_.thresholding)
      picture = dynamic_threshold(picture,
                                  {.ratio = static_cast<float>(config_.dynamic_thresholding_ratio),
                                   .max = static_cast<float>(config_.sample_max_value)});
    else if (clips())
      picture = clip(picture, static_cast<float>(config_.clip_sample_range));
    if (!m.draws) return ops::weighted_sum({{m.picture, &picture}, {m.x, &x}});
    const Tensor fresh = ops::to_device(noise(x.shape()), x.device());
    return ops::weighted_sum({{m.picture, &picture}, {m.x, &x}, {m.noise, &fresh}});
  }

 private:
  struct Move {
    SignalNoise here;
    float picture = 0, x = 0, noise = 0;
    bool draws = false;  ///< at timestep 0 the mean is the result
  };

  Move move(float alpha, float alpha_next, bool draws) const {
    const float beta_bar = 1 - alpha, beta_bar_next = 1 - alpha_next;
    const float step_alpha = alpha / alpha_next, step_beta = 1 - step_alpha;
    const float posterior = beta_bar_next / beta_bar * step_beta;
    return {{std::sqrt(alpha), std::sqrt(beta_bar)},
            std::sqrt(alpha_next) * step_beta / beta_bar,
            std::sqrt(step_alpha) * beta_bar_next / beta_bar,
            noise_factor(config_.variance_type.value_or("fixed_small"), step_beta, posterior),
            draws};
  }
  bool clips() const { return config_.clip_sample.value_or(true); }
  bool bounds_picture() const { return config_.thresholding || clips(); }

  NoiseScheduleConfig config_;
  std::vector<float> timesteps_;
  std::vector<Move> moves_;  // per call
};

}  // namespace

std::unique_ptr<Sampler> make_ddpm(const NoiseScheduleConfig& config,
                                   const SamplerOptions& options) {
  return std::make_unique<Ddpm>(config, options.steps);
}

}  // namespace tintype
