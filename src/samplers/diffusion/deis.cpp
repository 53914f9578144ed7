// Diffusion exponential integrator sampler, multistep in log(rho), rho = sigma / alpha: the
// polynomial through the last noise predictions, integrated over the step.
// source  Zhang & Chen 2022, arXiv:2204.13902; diffusers DEISMultistepScheduler
#include <algorithm>
#include <array>
#include <cmath>
#include <deque>

#include "base/check.h"
#include "base/text.h"
#include "ops/ops.h"
#include "samplers/diffusion/sigma_plan.h"
#include "samplers/diffusion/solver_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "deis";

/// x' = x * x_weight + sum_k outputs[k] * weights[k], outputs newest first.
struct Update {
  float x_weight = 0;
  std::vector<float> weights;
};

/// Antiderivative at t of the basis polynomial (in log rho) that is 1 at b and 0 at c, in the
/// reference's float32 operations: differences of nearly equal numbers, whose rounding shows.
float integral_2(float t, float b, float c) {
  return t * (-log_f32(c) + log_f32(t) - 1) / (log_f32(b) - log_f32(c));
}
/// The same for 0 at c and d.
float integral_3(float t, float b, float c, float d) {
  const float lt = log_f32(t), lb = log_f32(b), lc = log_f32(c), ld = log_f32(d);
  const float numerator = t * (lc * (ld - lt + 1) - ld * lt + ld + lt * lt - 2 * lt + 2);
  return numerator / ((lb - lc) * (lb - ld));
}

/// levels: of the step's end, its start, and of the answers before, `order` + 1 in all.
Update make_update(std::span<const SolverLevel> levels, int order) {
  const SolverLevel &to = levels[0], &from = levels[1];
  const float x_weight = to.alpha / from.alpha;
  if (order == 1) return {x_weight, {-to.sigma * (exp_f32(to.lambda - from.lambda) - 1)}};
  std::vector<float> rho;
  for (const SolverLevel& level : levels) rho.push_back(level.sigma / level.alpha);
  const float t = rho[0], s0 = rho[1], s1 = rho[2];
  if (order == 2)
    return {x_weight,
            {to.alpha * (integral_2(t, s0, s1) - integral_2(s0, s0, s1)),
             to.alpha * (integral_2(t, s1, s0) - integral_2(s0, s1, s0))}};
  const float s2 = rho[3];
  return {x_weight,
          {to.alpha * (integral_3(t, s0, s1, s2) - integral_3(s0, s0, s1, s2)),
           to.alpha * (integral_3(t, s1, s2, s0) - integral_3(s0, s1, s2, s0)),
           to.alpha * (integral_3(t, s2, s0, s1) - integral_3(s0, s2, s0, s1))}};
}

void require_supported(const NoiseScheduleConfig& config) {
  // Other classes' names are taken for the defaults, as the reference does.
  const std::string algorithm = config.algorithm_type.value_or("deis");
  if (algorithm != "deis" && algorithm != "dpmsolver" && algorithm != "dpmsolver++")
    fail(ErrorKind::kUnsupported, kName, "algorithm_type must be deis, got \"",
         printable(algorithm, 80), "\"");
  const std::string solver = config.solver_type.value_or("logrho");
  if (solver != "logrho" && solver != "midpoint" && solver != "heun" && solver != "bh1" &&
      solver != "bh2")
    fail(ErrorKind::kUnsupported, kName, "solver_type must be logrho, got \"",
         printable(solver, 80), "\"");
}

class Deis final : public Sampler {
 public:
  Deis(const NoiseScheduleConfig& config, const SamplerOptions& options) : config_(config) {
    require_supported(config);
    plan_ = solver_plan(config,
                        {.sampler = kName,
                         .table = {.honour_rescale = false},
                         .last = LastSpacedSigma::kLastOfSpacing,
                         .final_sigma_is_fixed = true},
                        options);
    steps_asked_ = options.steps;
    begin_at(0);
  }

  std::span<const float> timesteps() const override { return plan_.timesteps; }
  void begin_at(int first) override {
    const int calls = static_cast<int>(plan_.timesteps.size());
    updates_.assign(static_cast<size_t>(first), {});
    const bool few = config_.lower_order_final.value_or(true) && calls < 15;
    for (int i = first; i < calls; ++i) {
      int order = std::min(config_.solver_order.value_or(2), i - first + 1);
      if (few) order = std::min(order, calls - i);
      std::vector<SolverLevel> levels;
      for (int k = 0; k <= order; ++k)
        levels.emplace_back(plan_.sigmas[static_cast<size_t>(i + 1 - k)]);
      updates_.push_back(make_update(levels, order));
      require_finite(kName, updates_.back().weights, steps_asked_);
    }
  }
  SignalNoise level(int i) const override {
    return SolverLevel(plan_.sigmas[static_cast<size_t>(i)]).signal_noise();
  }

  Tensor step(const Tensor& model_output, int i, const Tensor& x, const NoiseSource&) override {
    const auto k = static_cast<size_t>(i);
    outputs_.push_front(noise_at(SolverLevel(plan_.sigmas[k]), x, model_output));
    if (outputs_.size() > 3) outputs_.pop_back();
    const Update& update = updates_[k];
    std::vector<WeightedTerm> terms = {{update.x_weight, &x}};
    for (size_t m = 0; m < update.weights.size(); ++m)
      terms.push_back({update.weights[m], &outputs_[m]});
    return ops::weighted_sum(terms);
  }

 private:
  /// The answer as noise, by way of the picture as the reference does.
  Tensor noise_at(const SolverLevel& level, const Tensor& x, const Tensor& model_output) const {
    const SignalNoise here = level.signal_noise();
    Tensor picture = picture_of(config_.prediction_type, here, x, model_output);
    if (config_.thresholding)
      picture = dynamic_threshold(picture,
                                  {.ratio = static_cast<float>(config_.dynamic_thresholding_ratio),
                                   .max = static_cast<float>(config_.sample_max_value)});
    return noise_of(PredictionType::kSample, here, x, picture);
  }

  NoiseScheduleConfig config_;
  SolverPlan plan_;
  int steps_asked_ = 0;
  std::vector<Update> updates_;  // per call
  std::deque<Tensor> outputs_;   // noise predictions, newest first
};

}  // namespace

std::unique_ptr<Sampler> make_deis(const NoiseScheduleConfig& config,
                                   const SamplerOptions& options) {
  return std::make_unique<Deis>(config, options);
}

}  // namespace tintype
