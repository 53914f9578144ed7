#include "samplers/diffusion/schedules.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"

namespace tintype {
namespace {

constexpr double kBetaShape = 0.6;  // both parameters of the distribution

/// Regularised incomplete beta function I_x(a, a) for x <= 1/2, by Lentz's continued fraction.
/// source  DLMF 8.17.22
double incomplete_beta(double x, double a) {
  if (x <= 0) return 0;
  constexpr double kTiny = 1e-300, kEpsilon = 1e-16;
  const double log_front =
      a * std::log(x) + a * std::log1p(-x) - std::log(a) + std::lgamma(2 * a) - 2 * std::lgamma(a);
  double c = 1, d = 1 - (a + a) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double fraction = d;
  for (int m = 1; m < 500; ++m) {
    const double even = m * (a - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + a + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    for (const double term : {even, odd}) {
      d = 1 + term * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      if (std::abs(c) < kTiny) c = kTiny;
      fraction *= c * d;
    }
    if (std::abs(c * d - 1) < kEpsilon) break;
  }
  return std::exp(log_front) * fraction;
}

std::vector<double> comfy_timestep_sigmas(std::span<const float> levels,
                                          std::span<const float> timesteps) {
  const std::vector<float> logs = log_of(levels);
  std::vector<double> result;
  for (const float t : timesteps) result.push_back(sigma_at_timestep(logs, t));
  return result;
}

std::vector<double> simple_sigmas(std::span<const float> levels, int steps) {
  std::vector<double> result;
  const double stride = static_cast<double>(levels.size()) / steps;
  for (int i = 0; i < steps; ++i)
    result.push_back(levels[levels.size() - 1 - static_cast<size_t>(i * stride)]);
  return result;
}

}  // namespace

std::vector<double> polyexponential_sigmas(const SigmaRange& range, int steps, double rho) {
  const double high = std::log(range.max), low = std::log(range.min);
  std::vector<double> result(static_cast<size_t>(steps), range.max);
  for (int i = 1; i < steps; ++i) {
    const double ramp = 1.0 - static_cast<double>(i) / (steps - 1);
    result[static_cast<size_t>(i)] = std::exp(std::pow(ramp, rho) * (high - low) + low);
  }
  return result;
}

std::vector<double> exponential_sigmas(const SigmaRange& range, int steps) {
  return polyexponential_sigmas(range, steps, 1.0);
}

double beta_quantile(double p) {
  if (p <= 0) return 0;
  if (p >= 1) return 1;
  if (p > 0.5) return 1 - beta_quantile(1 - p);  // the distribution is symmetric
  double low = 0, high = 0.5;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;
    (incomplete_beta(middle, kBetaShape) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

std::vector<double> beta_sigmas(const SigmaRange& range, int steps) {
  std::vector<double> result(static_cast<size_t>(steps), range.max);
  for (int i = 1; i < steps; ++i)
    result[static_cast<size_t>(i)] =
        range.min +
        beta_quantile(1 - static_cast<double>(i) / (steps - 1)) * (range.max - range.min);
  return result;
}

double sigma_at_timestep(std::span<const float> log_levels, double t) {
  return std::exp(interpolate(log_levels, t));
}

std::vector<double> ays_sigmas(int steps, bool sdxl) {
  // Level 0 of the published lists is the end of the run, replaced by 0 there.
  static constexpr std::array<double, 11> kSd1 = {
      14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092,
      0.9642583904,  0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582};
  static constexpr std::array<double, 11> kSdxl = {
      14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141,
      0.5550693289,  0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582};
  const std::array<double, 11>& table = sdxl ? kSdxl : kSd1;
  std::vector<double> result;
  for (int i = 0; i < steps; ++i) {
    const double position = 10.0 * i / steps;
    const auto low = static_cast<size_t>(position);
    const double w = position - static_cast<double>(low);
    result.push_back(std::exp((1 - w) * std::log(table[low]) + w * std::log(table[low + 1])));
  }
  return result;
}

void require_one_spacing(std::string_view sampler, const NoiseScheduleConfig& config) {
  const int flags = int{config.use_karras_sigmas} + int{config.use_exponential_sigmas} +
                    int{config.use_beta_sigmas};
  if (flags > 1)
    fail(
        ErrorKind::kUnsupported, sampler,
        "at most one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas may be true, "
        "got ",
        flags);
}

std::vector<double> requested_sigmas(const NoiseScheduleConfig& config,
                                     const SamplerOptions& options, std::span<const float> levels,
                                     const SigmaRange& ends) {
  const SigmaRange range = karras_range(config, ends.max, ends.min);
  if (config.use_karras_sigmas) return karras_sigmas(range, options.steps);
  if (config.use_exponential_sigmas) return exponential_sigmas(range, options.steps);
  if (config.use_beta_sigmas) return beta_sigmas(range, options.steps);
  const auto last = static_cast<float>(levels.size() - 1);
  if (options.scheduler == "normal")
    return comfy_timestep_sigmas(levels, torch_linspace(last, 0, options.steps));
  if (options.scheduler == "sgm_uniform") {
    std::vector<float> timesteps = torch_linspace(last, 0, options.steps + 1);
    timesteps.pop_back();
    return comfy_timestep_sigmas(levels, timesteps);
  }
  if (options.scheduler == "simple") return simple_sigmas(levels, options.steps);
  if (options.scheduler == "polyexponential")
    return polyexponential_sigmas({levels.back(), levels.front()}, options.steps);
  if (options.scheduler == "ays") return ays_sigmas(options.steps, options.sdxl);
  return {};
}

bool has_whole_timesteps(std::string_view scheduler) {
  constexpr std::array<std::string_view, 5> kWhole = {"normal", "sgm_uniform", "simple",
                                                      "polyexponential", "ays"};
  return std::find(kWhole.begin(), kWhole.end(), scheduler) != kWhole.end();
}

}  // namespace tintype
