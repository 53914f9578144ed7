// Euler's method to a lower level than the next one, and fresh noise back up to it.
// source  k-diffusion sample_euler_ancestral; diffusers EulerAncestralDiscreteScheduler
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "ops/ops.h"
#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "euler_a";

class EulerAncestral final : public Sampler {
 public:
  EulerAncestral(const NoiseScheduleConfig& config, int steps)
      : prediction_(config.prediction_type),
        spacing_(config.timestep_spacing.value_or(TimestepSpacing::kLinspace)) {
    if (prediction_ == PredictionType::kSample)
      fail(ErrorKind::kUnsupported, kName,
           "prediction_type must be epsilon or v_prediction, got sample; euler, ddim and dpmpp_2m "
           "take it");
    const std::vector<float> levels =
        sigmas_of(alphas_cumprod(config, {.keep_last_positive = true}));
    for (const double t : spaced_timesteps(config.num_train_timesteps,
                                           {.spacing = spacing_,
                                           .steps = steps,
                                           .steps_offset = config.steps_offset.value_or(0),
                                           .rounding = TimestepRounding::kFractional})) {
      timesteps_.push_back(static_cast<float>(t));
      sigmas_.push_back(static_cast<float>(interpolate(levels, timesteps_.back())));
    }
    sigmas_.push_back(0.0f);
  }

  std::span<const float> timesteps() const override { return timesteps_; }
  float init_noise_sigma() const override { return start_sigma(sigmas_, spacing_); }
  Tensor scale_model_input(const Tensor& x, int i) const override {
    return scaled_to_unit_variance(x, sigmas_[static_cast<size_t>(i)]);
  }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& noise) override {
    const float from = sigmas_[static_cast<size_t>(i)], to = sigmas_[static_cast<size_t>(i) + 1];
    // In float32 and in the reference's order: over a long step (few steps in all) `down` is the
    // root of a difference of nearly equal numbers, and its error shows in the picture.
    const float up = std::sqrt(to * to * (from * from - to * to) / (from * from));
    // Rounding may take that difference below zero, where the reference's picture becomes NaN.
    const float down = std::sqrt(std::max(to * to - up * up, 0.0f));
    const Tensor picture = picture_at_sigma(prediction_, from, x, model_output);
    const float ratio = down / from;
    // Drawn at the last step too, where it counts for nothing but moves the stream.
    const Tensor fresh = ops::to_device(noise(x.shape()), x.device());
    return ops::weighted_sum({{ratio, &x}, {1 - ratio, &picture}, {up, &fresh}});
  }

 private:
  PredictionType prediction_;
  TimestepSpacing spacing_;
  std::vector<float> timesteps_;
  std::vector<float> sigmas_;  // one more than the calls: the level after the last
};

}  // namespace

std::unique_ptr<Sampler> make_euler_a(const NoiseScheduleConfig& config, int steps) {
  return std::make_unique<EulerAncestral>(config, steps);
}

}  // namespace tintype
