// Multistep DPM-Solver: an exponential integrator in log(alpha/sigma), fitted to the last one, two
// or three answers. By default order 2 on the predicted picture (DPM-Solver++ 2M); a checkpoint's
// config may choose the noise form, the stochastic forms, another order or Heun's correction.
// source  Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095; diffusers
//         DPMSolverMultistepScheduler
#include <algorithm>
#include <array>
#include <cmath>
#include <deque>

#include "base/check.h"
#include "base/text.h"
#include "ops/ops.h"
#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/sigmas.h"

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

// The reference evaluates these on float32 scalars; correctly rounded values are within an ulp of
// torch's vectorised ones.
float exp_f32(float value) { return static_cast<float>(std::exp(static_cast<double>(value))); }
float log_f32(float value) { return static_cast<float>(std::log(static_cast<double>(value))); }

/// A sigma as signal and noise level of unit variance, and their log ratio.
struct Level {
  explicit Level(float s)
      : alpha(1 / std::sqrt(s * s + 1)),
        sigma(s * alpha),
        lambda(log_f32(alpha) - log_f32(sigma)) {}
  SignalNoise signal_noise() const { return {alpha, sigma}; }
  float alpha, sigma, lambda;
};

/// Weights of the polynomial's terms in a step of length h: of the newest answer (its value), of
/// its slope and of its curvature.
struct TermWeights {
  float x, value, slope, curvature, noise;
};

TermWeights term_weights(const SolverOptions& options, const Level& from, const Level& to, float h,
                         int order) {
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
Step make_step(const SolverOptions& options, std::span<const Level> levels, int order) {
  const Level &to = levels[0], &from = levels[1];
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
  require_known_sigmas(kName, config);
  // Karras spacing wins over these in the reference.
  const bool own_timesteps = !config.use_karras_sigmas;
  if (own_timesteps && config.use_lu_lambdas)
    fail(ErrorKind::kUnsupported, kName, "use_lu_lambdas must be false, got true");
  if (config.use_flow_sigmas)
    fail(ErrorKind::kUnsupported, kName,
         "use_flow_sigmas must be false, got true; the checkpoint is of the flow-matching family");
  if (config.variance_type)
    fail(ErrorKind::kUnsupported, kName, "variance_type must be absent, got \"",
         printable(*config.variance_type, 80),
         "\"; models that predict variance are not supported");
}

/// Timesteps before Karras spacing: as elsewhere, but as if there were one step more and its last
/// level were left out, and without the levels below lambda_min_clipped.
std::vector<double> solver_timesteps(const NoiseScheduleConfig& config, int steps,
                                     std::span<const float> table) {
  int last = config.num_train_timesteps;
  const auto clipped = static_cast<float>(config.lambda_min_clipped);
  for (const float alpha : table) {
    const float lambda = log_f32(std::sqrt(alpha)) - log_f32(std::sqrt(1 - alpha));
    if (lambda < clipped) --last;
  }
  TT_REQUIRE(last > 0, kName, "lambda_min_clipped must leave some of the noise levels, got ",
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

class DpmSolverMultistep final : public Sampler {
 public:
  DpmSolverMultistep(const NoiseScheduleConfig& config, int steps)
      : config_(config), options_(solver_options(config)) {
    require_supported(config);
    const std::vector<float> table = alphas_cumprod(config, {.keep_last_positive = true});
    choose_levels(steps, table);
    plan_steps(steps);
  }

  std::span<const float> timesteps() const override { return timesteps_; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& noise) override {
    const Step& step = steps_[static_cast<size_t>(i)];
    outputs_.push_front(converted(model_output, Level(sigmas_[static_cast<size_t>(i)]), x));
    if (outputs_.size() > static_cast<size_t>(options_.order)) outputs_.pop_back();
    std::vector<WeightedTerm> terms = {{step.x_weight, &x}};
    for (size_t k = 0; k < static_cast<size_t>(step.order); ++k)
      terms.push_back({step.output_weights[k], &outputs_[k]});
    if (!options_.stochastic) return ops::weighted_sum(terms);
    const Tensor fresh = ops::to_device(noise(x.shape()), x.device());
    terms.push_back({step.noise_weight, &fresh});
    return ops::weighted_sum(terms);
  }

 private:
  void choose_levels(int steps, const std::vector<float>& table) {
    const std::vector<float> levels = sigmas_of(table);
    std::vector<double> sigmas, times;
    if (config_.use_karras_sigmas) {
      sigmas = karras_sigmas(karras_range(config_, levels.back(), levels.front()), steps);
      const std::vector<float> log_levels = log_of(levels);
      const bool fractional = config_.beta_schedule == BetaSchedule::kSquaredCosCapV2;
      for (const double sigma : sigmas) {
        const double t = sigma_to_timestep(sigma, log_levels);
        times.push_back(fractional ? t : std::nearbyint(t));
      }
    } else {
      times = solver_timesteps(config_, steps, table);
      for (const double t : times) sigmas.push_back(interpolate(levels, t));
    }
    // Stored as whole numbers by the reference, which cuts the cosine schedule's fractions off.
    // When that makes the first two equal (always, for cosine with Karras), its step counter starts
    // at the second and the run fails at the end; ours starts at the first, as the reference does
    // once set_begin_index(0) was called.
    for (const double t : times) timesteps_.push_back(static_cast<float>(std::trunc(t)));
    sigmas_.assign(sigmas.begin(), sigmas.end());
    sigmas_.push_back(last_sigma(kName, config_.final_sigmas_type.value_or("zero"), table));
  }

  void plan_steps(int steps) {
    const int calls = static_cast<int>(timesteps_.size());
    for (int i = 0; i < calls; ++i) {
      const bool few = options_.lower_order_final && calls < 15;
      int order = std::min(options_.order, i + 1);
      if (i == calls - 1 && (options_.euler_at_final || few || options_.ends_at_zero)) order = 1;
      if (i == calls - 2 && few) order = std::min(order, 2);
      std::vector<Level> levels;
      for (int k = 0; k <= order; ++k) levels.emplace_back(sigmas_[static_cast<size_t>(i + 1 - k)]);
      // Without a distance between levels there is no slope: the reference divides by zero here and
      // returns NaN, or fails past the end of its table. The midpoint form needs no length of its
      // own step.
      const size_t first = options_.heun || order == 3 ? 1 : 2;
      for (size_t k = first; order > 1 && k < levels.size(); ++k)
        TT_REQUIRE(levels[k].lambda != levels[k - 1].lambda, kName, steps,
                   " steps visit one noise level twice in a row, where no slope exists; ask for "
                   "fewer steps or another spacing");
      steps_.push_back(make_step(options_, levels, order));
    }
  }

  /// The answer as the quantity that the solver integrates.
  Tensor converted(const Tensor& model_output, const Level& level, const Tensor& x) const {
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
  std::vector<float> timesteps_;
  std::vector<float> sigmas_;   // one more than the calls: the level after the last
  std::vector<Step> steps_;     // per call
  std::deque<Tensor> outputs_;  // converted answers, newest first
};

}  // namespace

std::unique_ptr<Sampler> make_dpmpp_2m(const NoiseScheduleConfig& config, int steps) {
  return std::make_unique<DpmSolverMultistep>(config, steps);
}

}  // namespace tintype
