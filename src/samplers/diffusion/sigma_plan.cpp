#include "samplers/diffusion/sigma_plan.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "ops/ops.h"
#include "samplers/diffusion/schedules.h"

namespace tintype {

double SigmaPlan::timestep_of(double sigma) const {
  const double t = sigma_to_timestep(sigma, log_levels);
  return whole_timesteps ? std::nearbyint(t) : t;
}

SigmaPlan sigma_plan(const NoiseScheduleConfig& config, const SigmaPlanRules& rules,
                     const SamplerOptions& options) {
  require_one_spacing(rules.sampler, config);
  const std::vector<float> levels = sigmas_of(alphas_cumprod(config, rules.table));
  const TimestepSpacing spacing = config.timestep_spacing.value_or(TimestepSpacing::kLinspace);
  SigmaPlan plan;
  plan.log_levels = log_of(levels);
  plan.table_max = levels.back();
  plan.whole_timesteps = has_whole_timesteps(options.scheduler);
  plan.timesteps =
      spaced_timesteps(config.num_train_timesteps, {.spacing = spacing,
                                                    .steps = options.steps,
                                                    .steps_offset = config.steps_offset.value_or(0),
                                                    .rounding = TimestepRounding::kFractional});
  std::vector<double> sigmas;
  for (double& t : plan.timesteps) {
    if (!rules.double_timesteps) t = static_cast<float>(t);
    sigmas.push_back(interpolate(levels, t));
  }
  NoiseScheduleConfig ends = config;
  if (config.use_karras_sigmas && rules.karras_fills_run) ends.sigma_min = ends.sigma_max = {};
  const std::vector<double> requested =
      requested_sigmas(ends, options, levels, {sigmas.front(), sigmas.back()});
  if (!requested.empty()) {
    sigmas = requested;
    plan.timesteps.clear();
    for (const double sigma : sigmas) {
      const double t = plan.timestep_of(sigma);
      const bool whole = config.use_karras_sigmas && rules.whole_karras;
      plan.timesteps.push_back(whole ? std::nearbyint(t) : t);
    }
  }
  plan.sigmas.assign(sigmas.begin(), sigmas.end());
  plan.sigmas.push_back(0.0f);
  // ComfyUI starts every full run at sqrt(sigma^2 + 1).
  plan.init_noise_sigma =
      start_sigma(plan.sigmas, plan.whole_timesteps ? TimestepSpacing::kLeading : spacing);
  return plan;
}

void refuse_sample_prediction(std::string_view sampler, PredictionType prediction) {
  if (prediction == PredictionType::kSample)
    fail(ErrorKind::kUnsupported, sampler,
         "prediction_type must be epsilon or v_prediction, got sample; euler, heun, ddim and "
         "dpmpp_2m take it");
}

Tensor euler_step(const Tensor& x, const Tensor& picture, float from, float to) {
  const float ratio = to / from;
  return ops::weighted_sum({{ratio, &x}, {1 - ratio, &picture}});
}

AncestralStep ancestral_step(float from, float to) {
  const float up =
      std::min(to, std::sqrt(std::max(to * to * (from * from - to * to) / (from * from), 0.0f)));
  // Rounding may take the difference below zero, where the reference's picture becomes NaN.
  return {std::sqrt(std::max(to * to - up * up, 0.0f)), up};
}

float exp_f32(float value) { return static_cast<float>(std::exp(static_cast<double>(value))); }
float log_f32(float value) { return static_cast<float>(std::log(static_cast<double>(value))); }
float expm1_f32(float value) { return static_cast<float>(std::expm1(static_cast<double>(value))); }

float middle_sigma(float a, float b) {
  const float from = log_f32(a), to = log_f32(b);
  return exp_f32(to - (to - from) * 0.5f);
}

}  // namespace tintype
