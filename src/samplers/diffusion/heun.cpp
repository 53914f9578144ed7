// Heun's method: an Euler step, a second call at its end, and the step again with the mean slope.
// source  Karras et al. 2022, arXiv:2206.00364, algorithm 1; diffusers HeunDiscreteScheduler
#include "ops/ops.h"
#include "samplers/diffusion/sigma_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "heun";

class Heun final : public SigmaSampler {
 public:
  Heun(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : SigmaSampler(
            config,
            sigma_plan(
                config,
                {.sampler = kName,
                 .table = {.honour_rescale = false, .beta_start = 0.00085, .beta_end = 0.012}},
                options)),
        clips_(config.clip_sample.value_or(false)),
        clip_range_(static_cast<float>(config.clip_sample_range)) {
    for (size_t k = 0; k < plan_.steps(); ++k) {
      if (k > 0) add_call(plan_.timesteps[k], sigma(k));  // the end of step k - 1
      add_call(plan_.timesteps[k], sigma(k));
    }
  }

  int first_call(int step) const override { return 2 * step; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x, const NoiseSource&) override {
    const auto k = static_cast<size_t>(i / 2);
    const float from = sigma(k), to = sigma(k + 1);
    Tensor picture = picture_at_call(i, x, model_output);
    if (clips_) picture = clip(picture, clip_range_);
    // The noise in x, rounded as the reference's: a long step from high levels magnifies it.
    const Tensor offset = ops::weighted_sum({{1, &x}, {-1, &picture}});
    if (i % 2 == 0) {
      start_ = x;
      start_offset_ = offset;
      return ops::weighted_sum({{1, &x}, {(to - from) / from, &offset}});
    }
    const float half = (to - from) * 0.5f;
    return ops::weighted_sum({{1, &start_}, {half / from, &start_offset_}, {half / to, &offset}});
  }

 private:
  bool clips_;
  float clip_range_;
  Tensor start_, start_offset_;  // of the step in progress
};

}  // namespace

std::unique_ptr<Sampler> make_heun(const NoiseScheduleConfig& config,
                                   const SamplerOptions& options) {
  return std::make_unique<Heun>(config, options);
}

}  // namespace tintype
