/// What the samplers of consistency models share: the timesteps of their distillation, and the
/// checks of a run. Pure functions; thread-safe.
#pragma once

#include <string_view>
#include <vector>

#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/noise_schedule.h"

namespace tintype {

/// The defaults of diffusers' LCMScheduler and TCDScheduler.
inline constexpr NoiseTableOptions kConsistencyTable = {
    .beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = BetaSchedule::kScaledLinear};

/// `steps` of the original_inference_steps timesteps that the checkpoint was distilled on, noisiest
/// first. throws kInvalidArgument: more steps than those, or fewer training timesteps than those
std::vector<int> consistency_timesteps(std::string_view sampler, const NoiseScheduleConfig& config,
                                       int steps);

/// Throws kUnsupported when the start level holds no signal and epsilon could not be divided by it.
void require_signal(std::string_view sampler, const NoiseScheduleConfig& config, float alpha,
                    bool bounds_picture);

/// A table entry as signal and noise.
SignalNoise level_of(float alpha_cumprod);

}  // namespace tintype
