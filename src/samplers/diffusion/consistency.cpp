#include "samplers/diffusion/consistency.h"

#include <cmath>

#include "base/check.h"

namespace tintype {

std::vector<int> consistency_timesteps(std::string_view sampler, const NoiseScheduleConfig& config,
                                       int steps) {
  const int original = config.original_inference_steps;
  TT_REQUIRE(original <= config.num_train_timesteps, sampler,
             "original_inference_steps must be at most the ", config.num_train_timesteps,
             " training timesteps, got ", original);
  TT_REQUIRE(steps <= original, sampler, "steps must be 1..", original,
             " (the checkpoint's original_inference_steps), got ", steps);
  const int stride = config.num_train_timesteps / original;
  std::vector<int> result;
  // numpy.linspace(0, original, steps, endpoint=False), rounded down.
  const double step = static_cast<double>(original) / steps;
  for (int i = 0; i < steps; ++i)
    result.push_back((original - static_cast<int>(i * step)) * stride - 1);
  return result;
}

void require_signal(std::string_view sampler, const NoiseScheduleConfig& config, float alpha,
                    bool bounds_picture) {
  if (alpha == 0 && config.prediction_type == PredictionType::kEpsilon && !bounds_picture)
    fail(ErrorKind::kUnsupported, sampler,
         "prediction_type epsilon cannot start from pure noise, as rescale_betas_zero_snr does; "
         "such checkpoints predict v");
}

SignalNoise level_of(float alpha_cumprod) {
  return {std::sqrt(alpha_cumprod), std::sqrt(1 - alpha_cumprod)};
}

}  // namespace tintype
