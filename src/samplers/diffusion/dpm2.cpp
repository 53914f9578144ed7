// DPM-Solver-2 in sigma: the slope is taken half-way (in log sigma) through the step.
// source  Karras et al. 2022, arXiv:2206.00364, algorithm 2; k-diffusion sample_dpm_2; diffusers
//         KDPM2DiscreteScheduler
#include "ops/ops.h"
#include "samplers/diffusion/sigma_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "dpm2";

class Dpm2 final : public SigmaSampler {
 public:
  Dpm2(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : SigmaSampler(
            config,
            sigma_plan(
                config,
                {.sampler = kName,
                 .table = {.honour_rescale = false, .beta_start = 0.00085, .beta_end = 0.012},
                 .whole_karras = true},
                options)) {
    refuse_sample_prediction(kName, config.prediction_type);
    for (size_t k = 0; k < plan_.steps(); ++k) {
      add_call(plan_.timesteps[k], sigma(k));
      if (k + 1 == plan_.steps()) break;  // the last step is Euler's, to 0
      const float middle = middle_sigma(sigma(k + 1), sigma(k));
      add_halfway_call(plan_.timestep_of(middle), middle, sigma(k + 1));
    }
  }

  int first_call(int step) const override { return 2 * step; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x, const NoiseSource&) override {
    const auto k = static_cast<size_t>(i / 2);
    const Tensor picture = picture_at_call(i, x, model_output);
    // The noise in x, rounded as the reference's: a long step from high levels magnifies it.
    const Tensor offset = ops::weighted_sum({{1, &x}, {-1, &picture}});
    if (i % 2 == 0) {
      start_ = x;
      const bool last = k + 1 == plan_.steps();
      const float to = last ? 0.0f : call_sigma(i + 1);
      return ops::weighted_sum({{1, &x}, {(to - sigma(k)) / sigma(k), &offset}});
    }
    const float slope = (sigma(k + 1) - sigma(k)) / call_sigma(i);
    return ops::weighted_sum({{1, &start_}, {slope, &offset}});
  }

 private:
  Tensor start_;  // of the step in progress
};

}  // namespace

std::unique_ptr<Sampler> make_dpm2(const NoiseScheduleConfig& config,
                                   const SamplerOptions& options) {
  return std::make_unique<Dpm2>(config, options);
}

}  // namespace tintype
