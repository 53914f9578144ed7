#include "samplers/diffusion/sigmas.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/text.h"

namespace tintype {
namespace {

/// numpy.linspace(start, stop, count) in float64.
std::vector<double> numpy_linspace(double stop, int count) {
  std::vector<double> result(static_cast<size_t>(count), 0.0);
  if (count == 1) return result;
  const double step = stop / (count - 1);
  for (int i = 0; i < count; ++i) result[static_cast<size_t>(i)] = i * step;
  result.back() = stop;
  return result;
}

}  // namespace

std::vector<double> linspace_whole(double stop, int count) {
  std::vector<double> result = numpy_linspace(stop, count);
  for (double& t : result) t = std::nearbyint(t);  // numpy.round: half to even
  return result;
}

std::vector<double> trailing_timesteps(double start, double step) {
  // numpy.arange: the count is rounded up, so that a quotient a hair above a whole number gives one
  // entry too many; entries are multiples of the difference of the first two.
  const auto count = static_cast<int>(std::ceil((0.0 - start) / -step));
  const double delta = (start - step) - start;
  std::vector<double> result(static_cast<size_t>(std::max(count, 0)));
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = std::nearbyint(start + static_cast<double>(i) * delta) - 1;
  return result;
}

std::vector<double> spaced_timesteps(int num_train_timesteps, const SpacingOptions& options) {
  std::vector<double> result;
  switch (options.spacing) {
    case TimestepSpacing::kLinspace: {
      const double stop = num_train_timesteps - 1;
      const bool whole = options.rounding == TimestepRounding::kWhole;
      result = whole ? linspace_whole(stop, options.steps) : numpy_linspace(stop, options.steps);
      std::reverse(result.begin(), result.end());
      return result;
    }
    case TimestepSpacing::kLeading: {
      const int ratio = num_train_timesteps / options.steps;
      for (int64_t i = options.steps - 1; i >= 0; --i)
        result.push_back(static_cast<double>(i * ratio + options.steps_offset));
      return result;
    }
    case TimestepSpacing::kTrailing:
      return trailing_timesteps(num_train_timesteps,
                                static_cast<double>(num_train_timesteps) / options.steps);
  }
  fail(ErrorKind::kInternal, "sigmas", "spacing without a rule");
}

std::vector<float> sigmas_of(std::span<const float> alphas_cumprod) {
  std::vector<float> result;
  result.reserve(alphas_cumprod.size());
  for (const float a : alphas_cumprod) result.push_back(std::sqrt((1.0f - a) / a));
  return result;
}

double interpolate(std::span<const float> table, double t) {
  if (t <= 0) return table.front();
  if (t >= static_cast<double>(table.size() - 1)) return table.back();
  const auto low = static_cast<size_t>(t);
  const double slope = static_cast<double>(table[low + 1]) - static_cast<double>(table[low]);
  return slope * (t - static_cast<double>(low)) + static_cast<double>(table[low]);
}

SigmaRange karras_range(const NoiseScheduleConfig& config, double table_max, double table_min) {
  return {config.sigma_max.value_or(table_max), config.sigma_min.value_or(table_min)};
}

std::vector<double> karras_sigmas(const SigmaRange& range, int steps) {
  constexpr double kRho = 7.0;
  const double max = std::pow(range.max, 1 / kRho), min = std::pow(range.min, 1 / kRho);
  std::vector<double> result = numpy_linspace(1.0, steps);
  for (double& value : result) value = std::pow(max + value * (min - max), kRho);
  return result;
}

std::vector<float> log_of(std::span<const float> values) {
  std::vector<float> result;
  result.reserve(values.size());
  for (const float value : values)
    result.push_back(static_cast<float>(std::log(static_cast<double>(value))));
  return result;
}

double sigma_to_timestep(double sigma, std::span<const float> log_sigmas) {
  if (log_sigmas.size() < 2) return 0;
  const double log_sigma = std::log(std::max(sigma, 1e-10));
  // The last entry not above sigma; the first when all are.
  size_t low = log_sigmas.size() - 1;
  while (low > 0 && !(log_sigma >= static_cast<double>(log_sigmas[low]))) --low;
  low = std::min(low, log_sigmas.size() - 2);
  const double below = log_sigmas[low], above = log_sigmas[low + 1];
  const double w = std::clamp((below - log_sigma) / (below - above), 0.0, 1.0);
  return (1 - w) * static_cast<double>(low) + w * static_cast<double>(low + 1);
}

float last_sigma(std::string_view sampler, std::string_view final_sigmas_type,
                 std::span<const float> alphas_cumprod) {
  if (final_sigmas_type == "zero") return 0.0f;
  if (final_sigmas_type == "sigma_min") return sigmas_of(alphas_cumprod.first(1)).front();
  fail(ErrorKind::kUnsupported, sampler, "final_sigmas_type must be zero or sigma_min, got \"",
       printable(final_sigmas_type, 80), "\"");
}

float start_sigma(std::span<const float> sigmas, TimestepSpacing spacing) {
  const float max = *std::max_element(sigmas.begin(), sigmas.end());
  return spacing == TimestepSpacing::kLeading ? std::sqrt(max * max + 1.0f) : max;
}

float level_at(std::string_view sampler, std::span<const float> table, int64_t t, int steps) {
  const auto size = static_cast<int64_t>(table.size());
  TT_REQUIRE(t < size && t >= -size, sampler, "timesteps must be below ", size, ", got ", t, " of ",
             steps,
             " steps; the checkpoint's steps_offset or num_train_timesteps leaves no room "
             "for so many, ask for fewer");
  return table[static_cast<size_t>(t < 0 ? t + size : t)];
}

}  // namespace tintype
