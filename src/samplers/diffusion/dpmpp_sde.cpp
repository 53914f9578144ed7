// DPM-Solver++ (stochastic), second order by a call half-way (in log sigma) through each step; both
// halves go down to a lower level than they aim at and back up with Brownian noise.
// source  k-diffusion sample_dpmpp_sde; diffusers DPMSolverSDEScheduler
#include <algorithm>
#include <cmath>

#include "ops/ops.h"
#include "samplers/diffusion/brownian_path.h"
#include "samplers/diffusion/sigma_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "dpmpp_sde";

/// One half: x' = x * ratio + picture * (1 - ratio) + noise * up.
struct Move {
  float from = 0, to = 0;  ///< interval of the noise
  float ratio = 0, picture = 0, up = 0;
};

/// The reference's float32 path through t = -log(sigma) and back.
Move stochastic_move(float t, float t_to) {
  const float from = exp_f32(-t), to = exp_f32(-t_to);
  const AncestralStep step = ancestral_step(from, to);
  const float t_down = -log_f32(step.down);
  return {from, to, exp_f32(-t_down) / exp_f32(-t), -expm1_f32(t - t_down), step.up};
}

class DpmppSde final : public SigmaSampler {
 public:
  DpmppSde(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : SigmaSampler(
            config,
            sigma_plan(
                config,
                {.sampler = kName,
                 .table = {.honour_rescale = false, .beta_start = 0.00085, .beta_end = 0.012},
                 .double_timesteps = true,
                 .karras_fills_run = true},
                options)),
        noise_(options, std::max(plan_.table_max, plan_.sigmas.front())) {
    refuse_sample_prediction(kName, config.prediction_type);
    for (size_t k = 0; k < plan_.steps(); ++k) {
      add_call(plan_.timesteps[k], sigma(k));
      if (k + 1 == plan_.steps()) break;  // the last step is Euler's, to 0
      const float t = -log_f32(sigma(k)), t_next = -log_f32(sigma(k + 1));
      const float t_middle = t + (t_next - t) * 0.5f;
      moves_.push_back(stochastic_move(t, t_middle));
      moves_.push_back(stochastic_move(t, t_next));
      const float middle = exp_f32(-t_middle);
      add_halfway_call(plan_.timestep_of(middle), middle, sigma(k + 1));
    }
  }

  int first_call(int step) const override { return 2 * step; }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& stream) override {
    const Tensor picture = picture_at_call(i, x, model_output);
    if (static_cast<size_t>(i) == moves_.size()) return picture;
    if (i % 2 == 0) start_ = x;
    const Move& move = moves_[static_cast<size_t>(i)];
    const Tensor fresh = noise_.between(x, move.from, move.to, stream);
    return ops::weighted_sum({{move.ratio, &start_}, {move.picture, &picture}, {move.up, &fresh}});
  }

 private:
  SolverNoise noise_;
  std::vector<Move> moves_;  // of every call but the last
  Tensor start_;             // of the step in progress
};

}  // namespace

std::unique_ptr<Sampler> make_dpmpp_sde(const NoiseScheduleConfig& config,
                                        const SamplerOptions& options) {
  return std::make_unique<DpmppSde>(config, options);
}

}  // namespace tintype
