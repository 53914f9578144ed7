// Euler's method on the probability-flow ODE, without churn.
// source  Karras et al. 2022, arXiv:2206.00364, algorithm 2; diffusers EulerDiscreteScheduler
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/text.h"
#include "ops/ops.h"
#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/schedules.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "euler";

void require_text(std::string_view key, std::string_view value, std::string_view first,
                  std::string_view second) {
  if (value != first && value != second)
    fail(ErrorKind::kUnsupported, kName, key, " must be ", first, " or ", second, ", got \"",
         printable(value, 80), "\"");
}

class Euler final : public Sampler {
 public:
  Euler(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : prediction_(config.prediction_type),
        spacing_(config.timestep_spacing.value_or(TimestepSpacing::kLinspace)) {
    require_one_spacing(kName, config);
    require_text("interpolation_type", config.interpolation_type, "linear", "log_linear");
    require_text("timestep_type", config.timestep_type, "discrete", "continuous");
    const std::vector<float> table = alphas_cumprod(config, {.keep_last_positive = true});
    const std::vector<float> levels = sigmas_of(table);
    for (const double t : spaced_timesteps(config.num_train_timesteps,
                                           {.spacing = spacing_,
                                           .steps = options.steps,
                                           .steps_offset = config.steps_offset.value_or(0),
                                           .rounding = TimestepRounding::kFractional}))
      timesteps_.push_back(static_cast<float>(t));
    std::vector<double> sigmas = spaced_sigmas(config, levels, options.steps);
    const std::vector<double> requested =
        requested_sigmas(config, options, levels, {sigmas.front(), sigmas.back()});
    if (!requested.empty()) {
      sigmas = requested;
      const std::vector<float> log_levels = log_of(levels);
      const bool whole = has_whole_timesteps(options.scheduler);
      if (whole) spacing_ = TimestepSpacing::kLeading;  // ComfyUI's start: sqrt(sigma^2 + 1)
      timesteps_.clear();
      for (const double sigma : sigmas) {
        const double t = sigma_to_timestep(sigma, log_levels);
        timesteps_.push_back(static_cast<float>(whole ? std::nearbyint(t) : t));
      }
    }
    sigmas_.assign(sigmas.begin(), sigmas.end());
    sigmas_.push_back(last_sigma(kName, config.final_sigmas_type.value_or("zero"), table));
    if (config.timestep_type == "continuous" && prediction_ == PredictionType::kVPrediction) {
      timesteps_ = log_of(std::span(sigmas_).first(sigmas_.size() - 1));
      for (float& t : timesteps_) t *= 0.25f;
    }
  }

  std::span<const float> timesteps() const override { return timesteps_; }
  float init_noise_sigma() const override { return start_sigma(sigmas_, spacing_); }
  Tensor scale_model_input(const Tensor& x, int i) const override {
    return scaled_to_unit_variance(x, sigmas_[static_cast<size_t>(i)]);
  }
  SignalNoise level(int i) const override { return {1, sigmas_[static_cast<size_t>(i)]}; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x, const NoiseSource&) override {
    const float sigma = sigmas_[static_cast<size_t>(i)];
    const Tensor picture = picture_at_sigma(prediction_, sigma, x, model_output);
    // x + (x - picture) / sigma * (next - sigma)
    const float ratio = sigmas_[static_cast<size_t>(i) + 1] / sigma;
    return ops::weighted_sum({{ratio, &x}, {1 - ratio, &picture}});
  }

 private:
  /// Sigmas of timesteps_. log_linear ignores them: it gives one more than the steps, from the
  /// table's largest to its smallest, and the reference runs the first ones.
  std::vector<double> spaced_sigmas(const NoiseScheduleConfig& config,
                                    const std::vector<float>& levels, int steps) const {
    std::vector<double> sigmas;
    if (config.interpolation_type == "log_linear") {
      const std::vector<float> logs = log_of(levels);
      for (const float log_sigma : torch_linspace(logs.back(), logs.front(), steps + 1))
        sigmas.push_back(static_cast<float>(std::exp(static_cast<double>(log_sigma))));
      return sigmas;
    }
    for (const float t : timesteps_) sigmas.push_back(interpolate(levels, t));
    return sigmas;
  }

  PredictionType prediction_;
  TimestepSpacing spacing_;
  std::vector<float> timesteps_;
  std::vector<float> sigmas_;  // one more than the calls: the level after the last
};

}  // namespace

std::unique_ptr<Sampler> make_euler(const NoiseScheduleConfig& config,
                                    const SamplerOptions& options) {
  return std::make_unique<Euler>(config, options);
}

}  // namespace tintype
