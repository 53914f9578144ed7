// Trajectory consistency distillation with strategic stochasticity: each call goes down below the
// next level by the share eta (the paper's gamma), and noise brings it back up.
// source  Zheng et al. 2024, arXiv:2402.19159; diffusers TCDScheduler. Its step() takes eta as 0.3
//         when told nothing, but diffusers' pipelines always tell it theirs, 0 by default.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "ops/ops.h"
#include "samplers/diffusion/consistency.h"
#include "samplers/diffusion/sampler.h"
#include "samplers/diffusion/sigmas.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "tcd";

class Tcd final : public Sampler {
 public:
  Tcd(const NoiseScheduleConfig& config, int steps, double eta) : config_(config), eta_(eta) {
    const std::vector<float> table = alphas_cumprod(config, kConsistencyTable);
    const std::vector<int> times = consistency_timesteps(kName, config, steps);
    for (size_t k = 0; k < times.size(); ++k) {
      const int next = k + 1 < times.size() ? times[k + 1] : 0;
      const auto lower =
          static_cast<int64_t>(std::floor(static_cast<float>(1 - eta) * static_cast<float>(next)));
      const float alpha = level_at(kName, table, times[k], steps);
      require_signal(kName, config, alpha, false);
      const float alpha_lower = level_at(kName, table, lower, steps);
      const float kept = level_at(kName, table, next, steps) / alpha_lower;
      timesteps_.push_back(static_cast<float>(times[k]));
      moves_.push_back({level_of(alpha), level_of(alpha_lower), std::sqrt(kept),
                        std::sqrt(std::max(1 - kept, 0.0f))});
    }
  }

  std::span<const float> timesteps() const override { return timesteps_; }
  SignalNoise level(int i) const override { return moves_[static_cast<size_t>(i)].here; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& noise) override {
    const auto k = static_cast<size_t>(i);
    const Move& m = moves_[k];
    // The reference's class reads neither clip_sample nor thresholding.
    const Tensor picture = picture_of(config_.prediction_type, m.here, x, model_output);
    const Tensor eps = noise_of(config_.prediction_type, m.here, x, model_output);
    if (k + 1 == moves_.size() || eta_ == 0)
      return ops::weighted_sum({{m.lower.alpha, &picture}, {m.lower.sigma, &eps}});
    const Tensor fresh = ops::to_device(noise(x.shape()), x.device());
    return ops::weighted_sum(
        {{m.kept * m.lower.alpha, &picture}, {m.kept * m.lower.sigma, &eps}, {m.added, &fresh}});
  }

 private:
  struct Move {
    SignalNoise here, lower;  ///< the call's level and the one it goes down to
    float kept, added;        ///< shares of that result and of fresh noise at the next level
  };
  NoiseScheduleConfig config_;
  double eta_;
  std::vector<float> timesteps_;
  std::vector<Move> moves_;  // per call
};

}  // namespace

std::unique_ptr<Sampler> make_tcd(const NoiseScheduleConfig& config,
                                  const SamplerOptions& options) {
  return std::make_unique<Tcd>(config, options.steps, options.eta);
}

}  // namespace tintype
