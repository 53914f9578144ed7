/// The run of a sampler whose latents are picture + sigma * noise (Karras et al.), and the base
/// class of those samplers: what the network sees at each call and where the run starts.
/// Plans are immutable values; samplers are single-thread.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {

/// What classes differ in.
struct SigmaPlanRules {
  std::string_view sampler;  ///< for messages
  NoiseTableOptions table = {};
  bool double_timesteps = false;  ///< own timesteps stay float64 until the network sees them
  bool whole_karras = false;      ///< Karras spacing runs at whole timesteps
  bool karras_fills_run = false;  ///< Karras spacing ignores the config's sigma_min and sigma_max
};

struct SigmaPlan {
  std::vector<double> timesteps;  ///< of each step
  std::vector<float> sigmas;      ///< one more: the level after the last step, 0
  std::vector<float> log_levels;  ///< of the training table, rising
  float table_max = 0;            ///< the training table's largest sigma
  float init_noise_sigma = 1;
  bool whole_timesteps = false;

  size_t steps() const { return timesteps.size(); }
  /// Timestep of a level between the steps'.
  double timestep_of(double sigma) const;
};

/// throws kUnsupported, kInvalidArgument
SigmaPlan sigma_plan(const NoiseScheduleConfig& config, const SigmaPlanRules& rules,
                     const SamplerOptions& options);

/// Throws kUnsupported when the config predicts the picture, which `sampler`'s reference refuses.
void refuse_sample_prediction(std::string_view sampler, PredictionType prediction);

class SigmaSampler : public Sampler {
 public:
  std::span<const float> timesteps() const final { return timesteps_; }
  float init_noise_sigma() const final { return plan_.init_noise_sigma; }
  SignalNoise level(int i) const final { return {1, levels_[static_cast<size_t>(i)]}; }
  Tensor scale_model_input(const Tensor& x, int i) const final {
    return scaled_to_unit_variance(x, call_sigma(i));
  }

 protected:
  SigmaSampler(const NoiseScheduleConfig& config, SigmaPlan plan)
      : plan_(std::move(plan)), prediction_(config.prediction_type) {}

  void add_call(double timestep, float sigma) {
    timesteps_.push_back(static_cast<float>(timestep));
    call_sigmas_.push_back(sigma);
    levels_.push_back(sigma);
  }
  /// A step's second call at `sigma`, half-way to `end`.
  void add_halfway_call(double timestep, float sigma, float end) {
    add_call(timestep, sigma);
    levels_.back() = end;
  }
  float call_sigma(int i) const { return call_sigmas_[static_cast<size_t>(i)]; }
  float sigma(size_t step) const { return plan_.sigmas[step]; }
  Tensor picture_at_call(int i, const Tensor& x, const Tensor& model_output) const {
    return picture_at_sigma(prediction_, call_sigma(i), x, model_output);
  }

  SigmaPlan plan_;

 private:
  PredictionType prediction_;
  std::vector<float> timesteps_, call_sigmas_, levels_;  // per call
};

/// Euler's step along (x - picture) / from, written as a sum of the two.
Tensor euler_step(const Tensor& x, const Tensor& picture, float from, float to);

/// Down to `down` by the solver, then up to `to` by noise of deviation `up`; in float32 and in the
/// reference's order, because `down` is the root of a difference of nearly equal numbers.
struct AncestralStep {
  float down = 0;
  float up = 0;
};
AncestralStep ancestral_step(float from, float to);

/// exp(log_f32) pairs of the solvers in t = -log(sigma), correctly rounded float32.
float exp_f32(float value);
float log_f32(float value);
float expm1_f32(float value);
/// The level half-way between two in log sigma: torch's exp(lerp(log a, log b, 1/2)).
float middle_sigma(float a, float b);

}  // namespace tintype
