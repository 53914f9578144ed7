// Pseudo numerical methods: linear multistep (PLMS), started by two half-trapezoid calls
// (skip_prk_steps) or by three Runge-Kutta steps of four calls each.
// source  Liu et al. 2022, arXiv:2202.09778; diffusers PNDMScheduler
#include <algorithm>
#include <cmath>
#include <deque>

#include "base/check.h"
#include "ops/ops.h"
#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "pndm";
constexpr int kRungeKuttaCalls = 12;

/// Timesteps of the Runge-Kutta start: for each of the three noisiest steps its own level, the one
/// half a stride below twice, and the next step's. `rising` holds the whole run.
std::vector<double> runge_kutta_timesteps(const std::vector<double>& rising, int half_stride) {
  std::vector<double> result;
  for (size_t k = 1; k <= 3; ++k) {
    const double from = rising[rising.size() - k], to = rising[rising.size() - k - 1];
    for (const double t : {from, to + half_stride, to + half_stride, to}) result.push_back(t);
  }
  return result;
}

class Pndm final : public Sampler {
 public:
  Pndm(const NoiseScheduleConfig& config, int steps)
      : prediction_(config.prediction_type), runge_kutta_(!config.skip_prk_steps) {
    if (prediction_ == PredictionType::kSample)
      fail(ErrorKind::kUnsupported, kName,
           "prediction_type must be epsilon or v_prediction, got sample; euler, ddim and dpmpp_2m "
           "take it");
    // The class has no rescale_betas_zero_snr: the reference ignores the key.
    table_ = alphas_cumprod(config, {.honour_rescale = false});
    steps_ = steps;
    stride_ = config.num_train_timesteps / steps;
    final_alpha_ = config.set_alpha_to_one.value_or(false) ? 1.0f : table_.front();
    const std::vector<double> calls = call_timesteps(config, steps);
    timesteps_.assign(calls.begin(), calls.end());
    begin_at(0);
  }

  std::span<const float> timesteps() const override { return timesteps_; }
  SignalNoise level(int i) const override {
    const float alpha = alpha_at(static_cast<int64_t>(timesteps_[static_cast<size_t>(i)]));
    return {std::sqrt(alpha), std::sqrt(1 - alpha)};
  }
  /// What a call does is counted from the first one made, also where that is not the run's first: a
  /// surprise of the reference, which then repeats another step than the second-noisiest.
  void begin_at(int first) override {
    first_ = first;
    moves_.clear();
    for (size_t made = 0; made + static_cast<size_t>(first) < timesteps_.size(); ++made) {
      const auto [from, to] = levels_of_call(made);
      moves_.push_back(move(alpha_at(from), to >= 0 ? alpha_at(to) : final_alpha_));
    }
  }

  Tensor step(const Tensor& model_output, int i, const Tensor& x, const NoiseSource&) override {
    const int made = i - first_;
    if (runge_kutta_ && made < kRungeKuttaCalls) return runge_kutta_step(model_output, made, x);
    if (made == 1) {
      // The second call repeats the first step with the mean of both answers.
      const Tensor mean = ops::weighted_sum({{0.5f, &model_output}, {0.5f, &outputs_.back()}});
      return moved(made, start_, mean);
    }
    remember(model_output);
    if (made == 0) start_ = x;
    return moved(made, x, multistep_output());
  }

 private:
  /// x' = sample * x - noise * model_output, equation 9 of the paper; `here` is where x lies.
  struct Move {
    SignalNoise here;
    float sample;
    float noise;
  };

  std::vector<double> call_timesteps(const NoiseScheduleConfig& config, int steps) const {
    std::vector<double> rising =
        spaced_timesteps(config.num_train_timesteps,
                         {.spacing = config.timestep_spacing.value_or(TimestepSpacing::kLeading),
                          .steps = steps,
                          .steps_offset = config.steps_offset.value_or(0)});
    std::reverse(rising.begin(), rising.end());
    std::vector<double> calls;
    size_t multistep = rising.size();
    if (runge_kutta_) {
      TT_REQUIRE(
          rising.size() >= 4, kName,
          "a checkpoint with skip_prk_steps false needs at least 4 steps for the Runge-Kutta "
          "start, got ",
          steps);
      calls = runge_kutta_timesteps(rising, config.num_train_timesteps / steps / 2);
      multistep -= 3;
    }
    for (size_t k = multistep; k-- > 0;) {
      calls.push_back(rising[k]);
      // The second-noisiest step is called twice: see step().
      if (!runge_kutta_ && k + 2 == rising.size()) calls.push_back(rising[k]);
    }
    return calls;
  }

  float alpha_at(int64_t t) const { return level_at(kName, table_, t, steps_); }

  /// Table positions that the call after `made` others moves between.
  std::pair<int64_t, int64_t> levels_of_call(size_t made) const {
    const auto t = static_cast<int64_t>(timesteps_[made + static_cast<size_t>(first_)]);
    if (runge_kutta_ && made < kRungeKuttaCalls)
      return {static_cast<int64_t>(timesteps_[made / 4 * 4]),
              t - (made % 2 == 1 ? 0 : stride_ / 2)};
    if (made == 1) return {t + stride_, t};
    return {t, t - stride_};
  }

  static Move move(float alpha, float alpha_next) {
    const float beta = 1 - alpha, beta_next = 1 - alpha_next;
    const float denominator = alpha * std::sqrt(beta_next) + std::sqrt(alpha * beta * alpha_next);
    return {{std::sqrt(alpha), std::sqrt(beta)},
            std::sqrt(alpha_next / alpha),
            (alpha_next - alpha) / denominator};
  }

  Tensor moved(int made, const Tensor& x, const Tensor& model_output) const {
    const Move& m = moves_[static_cast<size_t>(made)];
    const Tensor noise = noise_of(prediction_, m.here, x, model_output);
    return ops::weighted_sum({{m.sample, &x}, {-m.noise, &noise}});
  }

  void remember(const Tensor& model_output) {
    if (outputs_.size() == 4) outputs_.pop_front();
    outputs_.push_back(model_output);
  }

  Tensor runge_kutta_step(const Tensor& model_output, int made, const Tensor& x) {
    constexpr float kWeights[] = {1.0f / 6, 1.0f / 3, 1.0f / 3, 1.0f / 6};
    const float weight = kWeights[made % 4];
    if (made % 4 == 0) {
      remember(model_output);
      start_ = x;
      sum_ = ops::weighted_sum({{weight, &model_output}});
    } else {
      sum_ = ops::weighted_sum({{1.0f, &sum_}, {weight, &model_output}});
    }
    return moved(made, start_, made % 4 == 3 ? sum_ : model_output);
  }

  /// Adams-Bashforth over as many answers as there are, up to four.
  Tensor multistep_output() const {
    static constexpr float kWeights[4][4] = {{1},
                                             {3.0f / 2, -1.0f / 2},
                                             {23.0f / 12, -16.0f / 12, 5.0f / 12},
                                             {55.0f / 24, -59.0f / 24, 37.0f / 24, -9.0f / 24}};
    std::vector<WeightedTerm> terms;
    const float* weight = kWeights[outputs_.size() - 1];
    for (auto output = outputs_.rbegin(); output != outputs_.rend(); ++output)
      terms.push_back({*weight++, &*output});
    return ops::weighted_sum(terms);
  }

  PredictionType prediction_;
  bool runge_kutta_;
  std::vector<float> table_;
  int steps_ = 0, stride_ = 0, first_ = 0;
  float final_alpha_ = 1;
  std::vector<float> timesteps_;
  std::vector<Move> moves_;     // per call from the first one made
  std::deque<Tensor> outputs_;  // the network's last answers, newest last
  Tensor start_;                // latents that the current group of calls starts from
  Tensor sum_;                  // Runge-Kutta's weighted answers so far
};

}  // namespace

std::unique_ptr<Sampler> make_pndm(const NoiseScheduleConfig& config,
                                   const SamplerOptions& options) {
  return std::make_unique<Pndm>(config, options.steps);
}

}  // namespace tintype
