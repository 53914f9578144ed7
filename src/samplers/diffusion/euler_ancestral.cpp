// Euler's method to a lower level than the next one, and fresh noise back up to it.
// source  k-diffusion sample_euler_ancestral; diffusers EulerAncestralDiscreteScheduler
#include "ops/ops.h"
#include "samplers/diffusion/sigma_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "euler_a";

class EulerAncestral final : public SigmaSampler {
 public:
  EulerAncestral(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : SigmaSampler(config,
                     sigma_plan(config, {.sampler = kName, .table = {.keep_last_positive = true}},
                                options)) {
    refuse_sample_prediction(kName, config.prediction_type);
    for (size_t k = 0; k < plan_.steps(); ++k) add_call(plan_.timesteps[k], sigma(k));
  }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& noise) override {
    const auto k = static_cast<size_t>(i);
    const AncestralStep move = ancestral_step(sigma(k), sigma(k + 1));
    const Tensor picture = picture_at_call(i, x, model_output);
    const float ratio = move.down / sigma(k);
    // Drawn at the last step too, where it counts for nothing but moves the stream.
    const Tensor fresh = ops::to_device(noise(x.shape()), x.device());
    return ops::weighted_sum({{ratio, &x}, {1 - ratio, &picture}, {move.up, &fresh}});
  }
};

}  // namespace

std::unique_ptr<Sampler> make_euler_a(const NoiseScheduleConfig& config,
                                      const SamplerOptions& options) {
  return std::make_unique<EulerAncestral>(config, options);
}

}  // namespace tintype
