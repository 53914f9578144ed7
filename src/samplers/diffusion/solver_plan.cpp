#include "samplers/diffusion/solver_plan.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "samplers/diffusion/schedules.h"
#include "samplers/diffusion/sigma_plan.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {
namespace {

/// The class's own timesteps: as elsewhere, but as if there were one step more and its last level
/// were left out, and without the levels below lambda_min_clipped.
std::vector<double> own_timesteps(const NoiseScheduleConfig& config, const SolverPlanRules& rules,
                                  int steps, std::span<const float> table) {
  int last = config.num_train_timesteps;
  const auto clipped = static_cast<float>(config.lambda_min_clipped);
  for (const float alpha : table) {
    const float lambda = log_f32(std::sqrt(alpha)) - log_f32(std::sqrt(1 - alpha));
    if (rules.clips_lambda && lambda < clipped) --last;
  }
  TT_REQUIRE(last > 0, rules.sampler,
             "lambda_min_clipped must leave some of the noise levels, got ",
             config.lambda_min_clipped);
  std::vector<double> result;
  switch (config.timestep_spacing.value_or(TimestepSpacing::kLinspace)) {
    case TimestepSpacing::kLinspace:
      result = linspace_whole(last - 1, steps + 1);
      break;
    case TimestepSpacing::kLeading:
      for (int64_t i = 0, ratio = last / (steps + 1); i <= steps; ++i)
        result.push_back(static_cast<double>(i * ratio + config.steps_offset.value_or(0)));
      break;
    case TimestepSpacing::kTrailing:
      return trailing_timesteps(last, static_cast<double>(config.num_train_timesteps) / steps);
  }
  result.erase(result.begin());
  std::reverse(result.begin(), result.end());
  return result;
}

float final_sigma(const NoiseScheduleConfig& config, const SolverPlanRules& rules, bool spaced,
                  std::span<const float> table, float last) {
  const bool repeats = spaced && rules.last != LastSpacedSigma::kAsConfigured;
  if (rules.final_sigma_is_fixed) return repeats ? last : sigmas_of(table.first(1)).front();
  const float configured =
      last_sigma(rules.sampler, config.final_sigmas_type.value_or("zero"), table);
  return repeats && configured > 0 ? last : configured;
}

}  // namespace

SolverLevel::SolverLevel(float s)
    : alpha(1 / std::sqrt(s * s + 1)), sigma(s * alpha), lambda(log_f32(alpha) - log_f32(sigma)) {}

SolverPlan solver_plan(const NoiseScheduleConfig& config, const SolverPlanRules& rules,
                       const SamplerOptions& options) {
  require_one_spacing(rules.sampler, config);
  if (config.use_flow_sigmas)
    fail(ErrorKind::kUnsupported, rules.sampler,
         "use_flow_sigmas must be false, got true; the checkpoint is of the flow-matching family");
  const std::vector<float> table = alphas_cumprod(config, rules.table);
  const std::vector<float> levels = sigmas_of(table);
  const std::vector<float> log_levels = log_of(levels);
  SolverPlan plan;
  plan.table_max = levels.back();
  std::vector<double> sigmas =
      requested_sigmas(config, options, levels, {levels.back(), levels.front()});
  const bool spaced = !sigmas.empty();
  std::vector<double> times;
  if (spaced) {
    const bool cosine =
        config.beta_schedule.value_or(rules.table.beta_schedule) == BetaSchedule::kSquaredCosCapV2;
    const bool rounds = has_whole_timesteps(options.scheduler) ||
                        (config.use_karras_sigmas && !(rules.cosine_karras_is_cut && cosine));
    for (const double sigma : sigmas) {
      const double t = sigma_to_timestep(sigma, log_levels);
      times.push_back(rounds ? std::nearbyint(t) : t);
    }
  } else {
    times = own_timesteps(config, rules, options.steps, table);
    for (const double t : times) sigmas.push_back(interpolate(levels, t));
  }
  // Stored as whole numbers by the reference, which cuts fractions off. When that makes the first
  // two equal (always, for cosine with Karras), its step counter starts at the second and the run
  // fails at the end; ours starts at the first, as the reference does once set_begin_index(0) was
  // called.
  for (const double t : times) plan.timesteps.push_back(static_cast<float>(std::trunc(t)));
  plan.sigmas.assign(sigmas.begin(), sigmas.end());
  plan.sigmas.push_back(final_sigma(config, rules, spaced, table, plan.sigmas.back()));
  return plan;
}

void require_finite(std::string_view sampler, std::span<const float> weights, int steps) {
  for (const float weight : weights)
    TT_REQUIRE(std::isfinite(weight), sampler, "the weights of a step must be numbers, got ",
               weight, " in a run of ", steps,
               " steps: it visits one noise level twice in a row, or its order stays above 1 into "
               "the last; ask for fewer steps or another spacing");
}

}  // namespace tintype
