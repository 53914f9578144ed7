// DPM-Solver++ (2S) ancestral: a second-order step to a lower level than the next one, with a call
// half-way in log sigma, and fresh noise back up.
// source  Lu et al. 2022, arXiv:2211.01095; k-diffusion sample_dpmpp_2s_ancestral
#include "ops/ops.h"
#include "samplers/diffusion/sigma_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "dpmpp_2s_a";

class Dpmpp2sAncestral final : public SigmaSampler {
 public:
  Dpmpp2sAncestral(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : SigmaSampler(config,
                     sigma_plan(config, {.sampler = kName, .table = {.keep_last_positive = true}},
                                options)) {
    for (size_t k = 0; k < plan_.steps(); ++k) {
      add_call(plan_.timestep_of(sigma(k)), sigma(k));
      moves_.push_back(ancestral_step(sigma(k), sigma(k + 1)));
      if (k + 1 == plan_.steps()) break;  // the last step is Euler's, to 0
      const float t = -log_f32(sigma(k)), t_down = -log_f32(moves_[k].down);
      const float middle = exp_f32(-(t + 0.5f * (t_down - t)));
      add_halfway_call(plan_.timestep_of(middle), middle, sigma(k + 1));
    }
  }

  int first_call(int step) const override { return 2 * step; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& noise) override {
    const auto k = static_cast<size_t>(i / 2);
    const Tensor picture = picture_at_call(i, x, model_output);
    if (k + 1 == plan_.steps()) return picture;
    if (i % 2 == 0) {
      start_ = x;
      return euler_step(x, picture, sigma(k), call_sigma(i + 1));
    }
    // The exponential integrator with one picture is the line towards it: Euler's step.
    const float ratio = moves_[k].down / sigma(k);
    const Tensor fresh = ops::to_device(noise(x.shape()), x.device());
    return ops::weighted_sum({{ratio, &start_}, {1 - ratio, &picture}, {moves_[k].up, &fresh}});
  }

 private:
  std::vector<AncestralStep> moves_;  // per step
  Tensor start_;                      // of the step in progress
};

}  // namespace

std::unique_ptr<Sampler> make_dpmpp_2s_a(const NoiseScheduleConfig& config,
                                         const SamplerOptions& options) {
  return std::make_unique<Dpmpp2sAncestral>(config, options);
}

}  // namespace tintype
