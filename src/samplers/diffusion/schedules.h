/// Spacings of noise levels that a user may ask for instead of the checkpoint's own: plain numbers
/// from the table of training levels. Pure functions; thread-safe.
/// karras, exponential and beta are diffusers' (its use_*_sigmas flags); normal, simple,
/// sgm_uniform, ays and polyexponential are ComfyUI's and k-diffusion's. ComfyUI's beta places
/// timesteps where diffusers places sigmas: another spacing by the same name; here it is
/// diffusers'.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {

/// Evenly spaced in log sigma, falling from range.max to range.min.
std::vector<double> exponential_sigmas(const SigmaRange& range, int steps);

/// At the quantiles of the Beta(0.6, 0.6) distribution: dense at both ends.
/// source  Lee et al. 2024, arXiv:2407.12173
std::vector<double> beta_sigmas(const SigmaRange& range, int steps);

/// x with I_x(0.6, 0.6) = p, the distribution's quantile. p in [0,1]
double beta_quantile(double p);

/// The largest rank in ramp^rho, log spaced: rho 1 as k-diffusion's default.
std::vector<double> polyexponential_sigmas(const SigmaRange& range, int steps, double rho = 1.0);

/// The table's level at a fractional timestep, interpolated in log sigma (k-diffusion, ComfyUI).
double sigma_at_timestep(std::span<const float> log_levels, double t);

/// "Align Your Steps": the ten published levels of SD 1.5 or SDXL, interpolated in log sigma for
/// other step counts.  source  Sabour et al. 2024, arXiv:2404.14507, and its how-to page
std::vector<double> ays_sigmas(int steps, bool sdxl);

/// Throws kUnsupported naming `sampler` when the config sets more than one use_*_sigmas.
void require_one_spacing(std::string_view sampler, const NoiseScheduleConfig& config);

/// Sigmas of the spacing that `options` or the config's flags ask for, one for each step, falling.
/// Empty: the checkpoint's own timesteps. `levels` rises over the training timesteps; `ends` are
/// those between which diffusers' three spacings lie, unless the config sets sigma_min or
/// sigma_max.
std::vector<double> requested_sigmas(const NoiseScheduleConfig& config,
                                     const SamplerOptions& options, std::span<const float> levels,
                                     const SigmaRange& ends);

/// Whether `scheduler` runs at the nearest whole timesteps, as ComfyUI does.
bool has_whole_timesteps(std::string_view scheduler);

}  // namespace tintype
