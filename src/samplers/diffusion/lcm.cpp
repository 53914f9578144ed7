// Latent consistency models: every call answers with a picture, which noise takes to the next
// level. source  Luo et al. 2023, arXiv:2310.04378; diffusers LCMScheduler
#include <cmath>

#include "base/check.h"
#include "ops/ops.h"
#include "samplers/diffusion/consistency.h"
#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "lcm";
constexpr float kSigmaData = 0.5f;  // standard deviation of the data, as the paper sets it

class Lcm final : public Sampler {
 public:
  Lcm(const NoiseScheduleConfig& config, int steps) : config_(config) {
    const std::vector<float> table = alphas_cumprod(config, kConsistencyTable);
    for (const int t : consistency_timesteps(kName, config, steps)) {
      const float alpha = level_at(kName, table, t, steps);
      require_signal(kName, config, alpha, config.thresholding || clips());
      timesteps_.push_back(static_cast<float>(t));
      levels_.push_back(level_of(alpha));
    }
  }

  std::span<const float> timesteps() const override { return timesteps_; }
  SignalNoise level(int i) const override { return levels_[static_cast<size_t>(i)]; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& noise) override {
    const auto k = static_cast<size_t>(i);
    Tensor picture = picture_of(config_.prediction_type, levels_[k], x, model_output);
    if (config_.thresholding)
      picture = dynamic_threshold(picture,
                                  {.ratio = static_cast<float>(config_.dynamic_thresholding_ratio),
                                   .max = static_cast<float>(config_.sample_max_value)});
    else if (clips())
      picture = clip(picture, static_cast<float>(config_.clip_sample_range));
    // The boundary condition: at timestep 0 the answer is x itself.
    const float t = timesteps_[k] * static_cast<float>(config_.timestep_scaling);
    const float variance = t * t + kSigmaData * kSigmaData;
    const float skip = kSigmaData * kSigmaData / variance, out = t / std::sqrt(variance);
    if (k + 1 == timesteps_.size()) return ops::weighted_sum({{out, &picture}, {skip, &x}});
    const SignalNoise& next = levels_[k + 1];
    const Tensor fresh = ops::to_device(noise(x.shape()), x.device());
    return ops::weighted_sum(
        {{next.alpha * out, &picture}, {next.alpha * skip, &x}, {next.sigma, &fresh}});
  }

 private:
  bool clips() const { return config_.clip_sample.value_or(false); }

  NoiseScheduleConfig config_;
  std::vector<float> timesteps_;
  std::vector<SignalNoise> levels_;  // per call
};

}  // namespace

std::unique_ptr<Sampler> make_lcm(const NoiseScheduleConfig& config,
                                  const SamplerOptions& options) {
  return std::make_unique<Lcm>(config, options.steps);
}

}  // namespace tintype
