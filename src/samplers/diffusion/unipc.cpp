// UniPC: a multistep predictor in lambda, and a corrector that moves the last step's result by the
// answer at its end before the next step starts from there.
// source  Zhao et al. 2023, arXiv:2302.04867; diffusers UniPCMultistepScheduler
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

constexpr std::string_view kName = "unipc";

/// x' = x * x_weight + sum_k outputs[k] * weights[k], outputs newest first. The corrector counts
/// the answer at the step's end as the newest.
struct Update {
  float x_weight = 0;
  std::vector<float> weights;
};

/// Solves R rho = b, R[i][k] = r[k]^i: at most three unknowns, by elimination with pivots.
std::vector<double> solve_vandermonde(std::span<const float> r, std::span<const float> b) {
  const size_t n = r.size();
  std::vector<std::vector<double>> rows(n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k) rows[i].push_back(std::pow(r[k], static_cast<float>(i)));
    rows[i].push_back(b[i]);
  }
  for (size_t column = 0; column < n; ++column) {
    size_t pivot = column;
    for (size_t i = column; i < n; ++i)
      if (std::abs(rows[i][column]) > std::abs(rows[pivot][column])) pivot = i;
    std::swap(rows[column], rows[pivot]);
    for (size_t i = 0; i < n; ++i) {
      if (i == column) continue;
      const double factor = rows[i][column] / rows[column][column];
      for (size_t k = column; k <= n; ++k) rows[i][k] -= factor * rows[column][k];
    }
  }
  std::vector<double> rho(n);
  for (size_t i = 0; i < n; ++i) rho[i] = rows[i][n] / rows[i][i];
  return rho;
}

/// What predictor and corrector of one step share.
struct StepTerms {
  float x_weight, outer;  ///< outer: alpha or sigma of the end, times -1
  float h_phi_1, b_h;
  std::vector<float> r;  ///< positions of the older answers and of the end, in steps
  std::vector<float> b;
};

/// levels: of the step's end, its start, and of the answers before, `order` + 1 in all.
StepTerms step_terms(std::span<const SolverLevel> levels, int order, bool predicts_picture,
                     bool bh1) {
  const SolverLevel &to = levels[0], &from = levels[1];
  const float h = to.lambda - from.lambda;
  const float hh = predicts_picture ? -h : h;
  StepTerms terms;
  terms.x_weight = predicts_picture ? to.sigma / from.sigma : to.alpha / from.alpha;
  terms.outer = predicts_picture ? -to.alpha : -to.sigma;
  terms.h_phi_1 = expm1_f32(hh);
  terms.b_h = bh1 ? hh : terms.h_phi_1;
  float phi = terms.h_phi_1 / hh - 1;
  float factorial = 1;
  for (int i = 1; i <= order; ++i) {
    terms.r.push_back(i < order ? (levels[static_cast<size_t>(i) + 1].lambda - from.lambda) / h
                                : 1.0f);
    terms.b.push_back(phi * factorial / terms.b_h);
    factorial *= static_cast<float>(i + 1);
    phi = phi / hh - 1 / factorial;
  }
  return terms;
}

/// rho[k] weighs the divided difference (m[k + 1] - m[0]) / r[k] of the older answers.
Update predictor(const StepTerms& terms, int order) {
  const auto n = static_cast<size_t>(order);
  Update update{terms.x_weight, std::vector<float>(n, 0.0f)};
  update.weights[0] = terms.outer * terms.h_phi_1;
  if (order == 1) return update;
  const std::vector<double> rho = order == 2 ? std::vector<double>{0.5}
                                             : solve_vandermonde(std::span(terms.r).first(n - 1),
                                                                 std::span(terms.b).first(n - 1));
  for (size_t k = 0; k + 1 < n; ++k) {
    const float weight = terms.outer * terms.b_h * static_cast<float>(rho[k]) / terms.r[k];
    update.weights[k + 1] += weight;
    update.weights[0] -= weight;
  }
  return update;
}

Update corrector(const StepTerms& terms, int order) {
  const auto n = static_cast<size_t>(order);
  Update update{terms.x_weight, std::vector<float>(n + 1, 0.0f)};
  update.weights[1] = terms.outer * terms.h_phi_1;
  const std::vector<double> rho =
      order == 1 ? std::vector<double>{0.5} : solve_vandermonde(terms.r, terms.b);
  for (size_t k = 0; k < n; ++k) {
    const bool end = k + 1 == n;  // the answer at the step's end
    const float weight =
        terms.outer * terms.b_h * static_cast<float>(rho[k]) / (end ? 1.0f : terms.r[k]);
    update.weights[end ? 0 : k + 2] += weight;
    update.weights[1] -= weight;
  }
  return update;
}

class UniPc final : public Sampler {
 public:
  UniPc(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : config_(config),
        plan_(solver_plan(config,
                          {.sampler = kName,
                           .table = {.keep_last_positive = true},
                           .last = LastSpacedSigma::kZeroOrLastOfSpacing},
                          options)) {
    const std::string solver = config.solver_type.value_or("bh2");
    // Other classes' solver types are taken for the default, as the reference does.
    if (solver != "bh1" && solver != "bh2" && solver != "midpoint" && solver != "heun" &&
        solver != "logrho")
      fail(ErrorKind::kUnsupported, kName, "solver_type must be bh1 or bh2, got \"",
           printable(solver, 80), "\"");
    bh1_ = solver == "bh1";
    steps_asked_ = options.steps;
    begin_at(0);
  }

  std::span<const float> timesteps() const override { return plan_.timesteps; }
  SignalNoise level(int i) const override {
    return SolverLevel(plan_.sigmas[static_cast<size_t>(i)]).signal_noise();
  }

  void begin_at(int first) override {
    const int calls = static_cast<int>(plan_.timesteps.size());
    const int wanted = config_.solver_order.value_or(2);
    first_ = first;
    predictors_.assign(static_cast<size_t>(first), {});
    correctors_ = predictors_;
    corrects_.assign(static_cast<size_t>(first), false);
    for (int i = first; i < calls; ++i) {
      int order = std::min(wanted, i - first + 1);
      if (config_.lower_order_final.value_or(true)) order = std::min(order, calls - i);
      std::vector<SolverLevel> levels;
      for (int k = 0; k <= order; ++k)
        levels.emplace_back(plan_.sigmas[static_cast<size_t>(i + 1 - k)]);
      const StepTerms terms = step_terms(levels, order, config_.predict_x0, bh1_);
      predictors_.push_back(predictor(terms, order));
      require_finite(kName, predictors_.back().weights, steps_asked_);
      corrects_.push_back(std::find(config_.disable_corrector.begin(),
                                    config_.disable_corrector.end(),
                                    i) == config_.disable_corrector.end());
      if (i + 1 == calls) break;  // nothing comes after, to correct the last step from
      correctors_.push_back(corrector(terms, order));
      if (corrects_.back()) require_finite(kName, correctors_.back().weights, steps_asked_);
    }
  }

  Tensor step(const Tensor& model_output, int i, const Tensor& x, const NoiseSource&) override {
    const auto k = static_cast<size_t>(i);
    const Tensor converted = this->converted(model_output, SolverLevel(plan_.sigmas[k]), x);
    outputs_.push_front(converted);
    start_ = i > first_ && corrects_[k - 1] ? applied(correctors_[k - 1], start_) : x;
    const auto kept = static_cast<size_t>(config_.solver_order.value_or(2));
    if (outputs_.size() > kept) outputs_.pop_back();
    return applied(predictors_[k], start_);
  }

 private:
  /// Outputs beyond the weights do not count.
  Tensor applied(const Update& update, const Tensor& x) const {
    std::vector<WeightedTerm> terms = {{update.x_weight, &x}};
    for (size_t k = 0; k < update.weights.size(); ++k)
      terms.push_back({update.weights[k], &outputs_[k]});
    return ops::weighted_sum(terms);
  }

  /// The answer as the quantity that the solver integrates.
  Tensor converted(const Tensor& model_output, const SolverLevel& level, const Tensor& x) const {
    const PredictionType type = config_.prediction_type;
    if (!config_.predict_x0) return noise_of(type, level.signal_noise(), x, model_output);
    const Tensor picture = picture_of(type, level.signal_noise(), x, model_output);
    if (!config_.thresholding) return picture;
    return dynamic_threshold(picture,
                             {.ratio = static_cast<float>(config_.dynamic_thresholding_ratio),
                              .max = static_cast<float>(config_.sample_max_value)});
  }

  NoiseScheduleConfig config_;
  SolverPlan plan_;
  bool bh1_ = false;
  int steps_asked_ = 0, first_ = 0;
  std::vector<Update> predictors_;  // per call
  std::vector<Update> correctors_;  // per call but the last: of the step that the call started
  std::vector<bool> corrects_;
  std::deque<Tensor> outputs_;  // converted answers, newest first
  Tensor start_;                // latents that the last step started from
};

}  // namespace

std::unique_ptr<Sampler> make_unipc(const NoiseScheduleConfig& config,
                                    const SamplerOptions& options) {
  return std::make_unique<UniPc>(config, options);
}

}  // namespace tintype
