// dpmpp_2m and dpmpp_2m_sde.
// Multistep DPM-Solver: an exponential integrator in log(alpha/sigma), fitted to the last one, two
// or three answers. By default order 2 on the predicted picture (DPM-Solver++ 2M); a checkpoint's
// config may choose the noise form, the stochastic forms, another order or Heun's correction.
// dpmpp_2m_sde is the stochastic form on the picture whatever the config says, on Brownian noise;
// dpmpp_2m with a config that chooses it draws from the request's stream, as diffusers does.
// source  Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095; diffusers
//         DPMSolverMultistepScheduler
#include <algorithm>
#include <array>
#include <cmath>
#include <deque>

#include "base/check.h"
#include "base/text.h"
#include "ops/ops.h"
#include "samplers/diffusion/brownian_path.h"
#include "samplers/diffusion/sigma_plan.h"
#include "samplers/diffusion/solver_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "dpmpp_2m";

struct SolverOptions {
  int order = 2;
  bool predicts_picture = true;  ///< "++": integrate the picture; otherwise the noise
  bool stochastic = false;       ///< "sde-": add noise at every step
  bool heun = false;             ///< second order: Heun's correction instead of the midpoint's
  bool lower_order_final = true;
  bool euler_at_final = false;
  bool ends_at_zero = true;
};

/// One step as a sum: x' = x*x_weight + sum_k outputs[k]*output_weights[k] + noise*noise_weight,
/// outputs newest first.
struct Step {
  int order = 1;
  float x_weight = 0;
  std::array<float, 3> output_weights{};
  float noise_weight = 0;
};

/// Weights of the polynomial's terms in a step of length h: of the newest answer (its value), of
/// its slope and of its curvature.
struct TermWeights {
  float x, value, slope, curvature, noise;
};

TermWeights term_weights(const SolverOptions& options, const SolverLevel& from,
                         const SolverLevel& to, float h, int order) {
  const bool midpoint = order == 2 && !options.heun;
  if (options.predicts_picture && !options.stochastic) {
    const float e = exp_f32(-h) - 1.0f;
    return {to.sigma / from.sigma, -(to.alpha * e),
            midpoint ? -0.5f * (to.alpha * e) : to.alpha * (e / h + 1.0f),
            -(to.alpha * ((e + h) / (h * h) - 0.5f)), 0};
  }
  if (options.predicts_picture) {
    const float e = 1.0f - exp_f32(-2.0f * h);
    return {to.sigma / from.sigma * exp_f32(-h), to.alpha * e,
            midpoint ? 0.5f * (to.alpha * e) : to.alpha * (e / (-2.0f * h) + 1.0f),
            to.alpha * ((e - 2.0f * h) / (4.0f * h * h) - 0.5f), to.sigma * std::sqrt(e)};
  }
  const float e = exp_f32(h) - 1.0f;
  const float times = options.stochastic ? 2.0f : 1.0f;
  return {to.alpha / from.alpha, -times * (to.sigma * e),
          midpoint ? -0.5f * times * (to.sigma * e) : -times * (to.sigma * (e / h - 1.0f)),
          -(to.sigma * ((e - h) / (h * h) - 0.5f)),
          options.stochastic ? to.sigma * std::sqrt(exp_f32(2.0f * h) - 1.0f) : 0.0f};
}

/// levels: of the step's end, its start, and of the answers before, as many as the order needs.
Step make_step(const SolverOptions& options, std::span<const SolverLevel> levels, int order) {
  const SolverLevel &to = levels[0], &from = levels[1];
  const float h = to.lambda - from.lambda;
  const TermWeights terms = term_weights(options, from, to, h, order);
  Step step{order, terms.x, {terms.value, 0, 0}, terms.noise};
  if (order == 1) return step;
  const float r0 = (from.lambda - levels[2].lambda) / h;
  // Divided differences of the answers m0 (newest), m1, m2:
  //   d0 = (m0 - m1) / r0, d1 = (m1 - m2) / r1, bend = (d0 - d1) / (r0 + r1)
  // order 2: slope d0; order 3: slope d0 + r0 bend, curvature bend.
  float d0 = terms.slope, d1 = 0;
  if (order == 3) {
    const float r1 = (levels[2].lambda - levels[3].lambda) / h;
    const float bend = (terms.slope * r0 + terms.curvature) / (r0 + r1);
    d0 += bend;
    d1 = -bend / r1;
  }
  d0 /= r0;
  step.output_weights = {terms.value + d0, -d0 + d1, -d1};
  return step;
}

SolverOptions solver_options(const NoiseScheduleConfig& config) {
  SolverOptions options;
  const std::string algorithm = config.algorithm_type.value_or("dpmsolver++");
  // "deis" and the other classes' solver types are taken for the defaults, as the reference does.
  constexpr std::array<std::string_view, 5> kAlgorithms = {
      "dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", "deis"};
  if (std::find(kAlgorithms.begin(), kAlgorithms.end(), algorithm) == kAlgorithms.end())
    fail(ErrorKind::kUnsupported, kName,
         "algorithm_type must be dpmsolver++, sde-dpmsolver++, dpmsolver or sde-dpmsolver, got \"",
         printable(algorithm, 80), "\"");
  options.predicts_picture = algorithm == "deis" || algorithm.ends_with("++");
  options.stochastic = algorithm.starts_with("sde-");
  const std::string solver = config.solver_type.value_or("midpoint");
  options.heun = solver == "heun";
  if (!options.heun && solver != "midpoint" && solver != "logrho" && solver != "bh1" &&
      solver != "bh2")
    fail(ErrorKind::kUnsupported, kName, "solver_type must be midpoint or heun, got \"",
         printable(solver, 80), "\"");
  options.order = config.solver_order.value_or(2);
  options.lower_order_final = config.lower_order_final.value_or(true);
  options.euler_at_final = config.euler_at_final;
  options.ends_at_zero = config.final_sigmas_type.value_or("zero") == "zero";
  if (!options.predicts_picture && options.ends_at_zero)
    fail(ErrorKind::kUnsupported, kName, "algorithm_type ", algorithm,
         " needs final_sigmas_type sigma_min, got zero");
  if (options.order == 3 && options.stochastic && !options.predicts_picture)
    fail(ErrorKind::kUnsupported, kName, "algorithm_type sde-dpmsolver has no solver_order 3");
  return options;
}

void require_supported(const NoiseScheduleConfig& config) {
  // Karras spacing wins over these in the reference.
  if (!config.use_karras_sigmas && config.use_lu_lambdas)
    fail(ErrorKind::kUnsupported, kName, "use_lu_lambdas must be false, got true");
  if (config.variance_type)
    fail(ErrorKind::kUnsupported, kName, "variance_type must be absent, got \"",
         printable(*config.variance_type, 80),
         "\"; models that predict variance are not supported");
}

class DpmSolverMultistep final : public Sampler {
 public:
  DpmSolverMultistep(const NoiseScheduleConfig& config, const SamplerOptions& options,
                     bool brownian)
      : config_(config), options_(solver_options(config)) {
    require_supported(config);
    plan_ = solver_plan(config,
                        {.sampler = kName,
                         .table = {.keep_last_positive = true},
                         .clips_lambda = true,
                         .cosine_karras_is_cut = true},
                        options);
    if (brownian) noise_.emplace(options, std::max(plan_.table_max, plan_.sigmas.front()));
    steps_asked_ = options.steps;
    begin_at(0);
  }

  std::span<const float> timesteps() const override { return plan_.timesteps; }
  SignalNoise level(int i) const override {
    return SolverLevel(plan_.sigmas[static_cast<size_t>(i)]).signal_noise();
  }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& noise) override {
    const Step& step = steps_[static_cast<size_t>(i)];
    outputs_.push_front(
        converted(model_output, SolverLevel(plan_.sigmas[static_cast<size_t>(i)]), x));
    if (outputs_.size() > static_cast<size_t>(options_.order)) outputs_.pop_back();
    std::vector<WeightedTerm> terms = {{step.x_weight, &x}};
    for (size_t k = 0; k < static_cast<size_t>(step.order); ++k)
      terms.push_back({step.output_weights[k], &outputs_[k]});
    if (!options_.stochastic) return ops::weighted_sum(terms);
    const float from = plan_.sigmas[static_cast<size_t>(i)];
    const float to = plan_.sigmas[static_cast<size_t>(i) + 1];
    const Tensor fresh =
        noise_ ? noise_->between(x, from, to, noise) : ops::to_device(noise(x.shape()), x.device());
    terms.push_back({step.noise_weight, &fresh});
    return ops::weighted_sum(terms);
  }

  void begin_at(int first) override {
    const int calls = static_cast<int>(plan_.timesteps.size());
    steps_.assign(static_cast<size_t>(first), {});
    for (int i = first; i < calls; ++i) {
      const bool few = options_.lower_order_final && calls < 15;
      int order = std::min(options_.order, i - first + 1);
      if (i == calls - 1 && (options_.euler_at_final || few || options_.ends_at_zero)) order = 1;
      if (i == calls - 2 && few) order = std::min(order, 2);
      std::vector<SolverLevel> levels;
      for (int k = 0; k <= order; ++k)
        levels.emplace_back(plan_.sigmas[static_cast<size_t>(i + 1 - k)]);
      // Without a distance between levels there is no slope: the reference divides by zero here and
      // returns NaN, or fails past the end of its table. The midpoint form needs no length of its
      // own step.
      const size_t nearest = options_.heun || order == 3 ? 1 : 2;
      for (size_t k = nearest; order > 1 && k < levels.size(); ++k)
        TT_REQUIRE(levels[k].lambda != levels[k - 1].lambda, kName, steps_asked_,
                   " steps visit one noise level twice in a row, where no slope exists; ask for "
                   "fewer steps or another spacing");
      steps_.push_back(make_step(options_, levels, order));
    }
  }

 private:
  /// The answer as the quantity that the solver integrates.
  Tensor converted(const Tensor& model_output, const SolverLevel& level, const Tensor& x) const {
    const SignalNoise here = level.signal_noise();
    const PredictionType type = config_.prediction_type;
    const ThresholdOptions threshold{
        .ratio = static_cast<float>(config_.dynamic_thresholding_ratio),
        .max = static_cast<float>(config_.sample_max_value)};
    if (options_.predicts_picture) {
      const Tensor picture = picture_of(type, here, x, model_output);
      return config_.thresholding ? dynamic_threshold(picture, threshold) : picture;
    }
    const Tensor noise = noise_of(type, here, x, model_output);
    if (!config_.thresholding) return noise;
    const Tensor picture =
        dynamic_threshold(picture_of(PredictionType::kEpsilon, here, x, noise), threshold);
    return noise_of(PredictionType::kSample, here, x, picture);
  }

  NoiseScheduleConfig config_;
  SolverOptions options_;
  SolverPlan plan_;
  std::optional<SolverNoise> noise_;  // unset: the request's stream
  int steps_asked_ = 0;
  std::vector<Step> steps_;     // per call
  std::deque<Tensor> outputs_;  // converted answers, newest first
};

}  // namespace

std::unique_ptr<Sampler> make_dpmpp_2m(const NoiseScheduleConfig& config,
                                       const SamplerOptions& options) {
  return std::make_unique<DpmSolverMultistep>(config, options, /*brownian=*/false);
}

std::unique_ptr<Sampler> make_dpmpp_2m_sde(const NoiseScheduleConfig& config,
                                           const SamplerOptions& options) {
  NoiseScheduleConfig stochastic = config;
  stochastic.algorithm_type = "sde-dpmsolver++";
  return std::make_unique<DpmSolverMultistep>(stochastic, options, /*brownian=*/true);
}

}  // namespace tintype
