/// What samplers share about noise levels: the timesteps of a spacing, sigma tables, the Karras
/// spacing, and fractional timesteps. Plain numbers, no tensors; float32 and float64 where the
/// reference's are. Pure functions; thread-safe.
/// source  diffusers 0.42.1, schedulers/scheduling_*.py; numpy's linspace, arange, interp, round
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "samplers/diffusion/noise_schedule.h"

namespace tintype {

/// Rounding of linspace timesteps to whole numbers: DDIM, PNDM and DPM-Solver do, Euler does not.
enum class TimestepRounding { kWhole, kFractional };

struct SpacingOptions {
  TimestepSpacing spacing = TimestepSpacing::kLeading;
  int steps = 1;
  int steps_offset = 0;  ///< read by leading only
  TimestepRounding rounding = TimestepRounding::kWhole;
};

/// Timesteps of a run over `num_train_timesteps` levels, noisiest first. Trailing may give one more
/// than `steps`, ending in -1: numpy's arange overshoots for some counts (61 or 103 of 1000), and
/// the reference runs that extra call.
std::vector<double> spaced_timesteps(int num_train_timesteps, const SpacingOptions& options);

/// round(linspace(0, stop, count)), rising: the form that DPM-Solver takes its steps from.
std::vector<double> linspace_whole(double stop, int count);

/// Timesteps start, start - step, ... > 0, each rounded, minus one (numpy.arange then round).
std::vector<double> trailing_timesteps(double start, double step);

/// sqrt((1 - a) / a) for each entry.
std::vector<float> sigmas_of(std::span<const float> alphas_cumprod);

/// Linear interpolation in `table` at position t, held constant beyond the ends (numpy.interp).
double interpolate(std::span<const float> table, double t);

/// Ends of the Karras spacing: the config's, or those of the table in use.
struct SigmaRange {
  double max = 0;
  double min = 0;
};
SigmaRange karras_range(const NoiseScheduleConfig& config, double table_max, double table_min);

/// Noise levels evenly spaced in sigma^(1/7), falling.
/// source  Karras et al. 2022, arXiv:2206.00364, equation 5
std::vector<double> karras_sigmas(const SigmaRange& range, int steps);

/// Fractional timestep whose level is `sigma`, interpolated in log sigma; clamped to the table.
/// log_sigmas rises.
double sigma_to_timestep(double sigma, std::span<const float> log_sigmas);
std::vector<float> log_of(std::span<const float> values);

/// The sigma after the last step: 0 ("zero") or that of timestep 0 ("sigma_min").
/// throws kUnsupported naming `sampler`
float last_sigma(std::string_view sampler, std::string_view final_sigmas_type,
                 std::span<const float> alphas_cumprod);

/// Standard deviation of the start latents in the samplers whose latents carry sigma: the largest
/// sigma, or with leading spacing (whose first level is below the noisiest) sqrt(sigma^2 + 1).
float start_sigma(std::span<const float> sigmas, TimestepSpacing spacing);

/// Entry t of a table by Python's rules: -1 is the last. throws kInvalidArgument naming `sampler`
/// and `steps` when a run would leave the table, where the reference raises IndexError.
float level_at(std::string_view sampler, std::span<const float> table, int64_t t, int steps);

}  // namespace tintype
