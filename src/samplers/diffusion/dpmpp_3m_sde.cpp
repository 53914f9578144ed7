// DPM-Solver++ (3M) SDE: the stochastic exponential integrator fitted to the last three pictures.
// Not diffusers' DPMSolverMultistepScheduler with solver_order 3, whose third-order term differs.
// source  k-diffusion sample_dpmpp_3m_sde (eta 1)
#include <algorithm>
#include <cmath>
#include <deque>

#include "ops/ops.h"
#include "samplers/diffusion/brownian_path.h"
#include "samplers/diffusion/sigma_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "dpmpp_3m_sde";

class Dpmpp3mSde final : public SigmaSampler {
 public:
  Dpmpp3mSde(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : SigmaSampler(
            config,
            sigma_plan(config, {.sampler = kName, .table = {.keep_last_positive = true}}, options)),
        noise_(options, std::max(plan_.table_max, plan_.sigmas.front())) {
    for (size_t k = 0; k < plan_.steps(); ++k) add_call(plan_.timestep_of(sigma(k)), sigma(k));
  }

  Tensor step(const Tensor& model_output, int i, const Tensor& x,
              const NoiseSource& stream) override {
    const auto k = static_cast<size_t>(i);
    pictures_.push_front(picture_at_call(i, x, model_output));
    if (pictures_.size() > 3) pictures_.pop_back();
    if (k + 1 == plan_.steps()) return pictures_.front();
    const float h = length(k), doubled = 2 * h;
    const float decay = expm1_f32(-doubled);
    // Weights of the newest picture, of its slope and of its curvature.
    const float phi_2 = decay / doubled + 1, phi_3 = phi_2 / doubled - 0.5f;
    float newest = -decay, d0 = 0, d1 = 0;  // d0, d1: of (m0 - m1) / r0 and (m1 - m2) / r1
    if (pictures_.size() == 3) {
      const float r0 = length(k - 1) / h, r1 = length(k - 2) / h;
      const float bend = (phi_2 * r0 - phi_3) / (r0 + r1);
      d0 = (phi_2 + bend) / r0;
      d1 = -bend / r1;
    } else if (pictures_.size() == 2) {
      d0 = phi_2 * h / length(k - 1);
    }
    const Tensor fresh = noise_.between(x, sigma(k), sigma(k + 1), stream);
    const float weights[] = {newest + d0, d1 - d0, -d1};
    std::vector<WeightedTerm> terms = {{exp_f32(-doubled), &x}};
    for (size_t m = 0; m < pictures_.size(); ++m) terms.push_back({weights[m], &pictures_[m]});
    terms.push_back({sigma(k + 1) * std::sqrt(-decay), &fresh});
    return ops::weighted_sum(terms);
  }

 private:
  /// Of step k, in -log(sigma).
  float length(size_t k) const { return log_f32(sigma(k)) - log_f32(sigma(k + 1)); }

  SolverNoise noise_;
  std::deque<Tensor> pictures_;  // newest first
};

}  // namespace

std::unique_ptr<Sampler> make_dpmpp_3m_sde(const NoiseScheduleConfig& config,
                                           const SamplerOptions& options) {
  return std::make_unique<Dpmpp3mSde>(config, options);
}

}  // namespace tintype
