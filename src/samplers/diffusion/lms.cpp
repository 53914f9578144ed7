// Linear multistep: the polynomial through the last slopes, up to four, integrated over the step.
// source  k-diffusion sample_lms; diffusers LMSDiscreteScheduler
#include <algorithm>
#include <array>
#include <deque>

#include "ops/ops.h"
#include "samplers/diffusion/sigma_plan.h"

namespace tintype {
namespace {

constexpr std::string_view kName = "lms";
constexpr size_t kOrder = 4;

/// Integral from `from` to `to` of the Lagrange polynomial that is 1 at nodes[which] and 0 at the
/// other nodes. Expanded around `from` and integrated exactly, where the reference uses quadrature.
double lagrange_integral(std::span<const float> nodes, size_t which, double from, double to) {
  std::array<double, kOrder> coefficients{1};
  size_t degree = 0;
  for (size_t k = 0; k < nodes.size(); ++k) {
    if (k == which) continue;
    const double root = static_cast<double>(nodes[k]) - from;
    const double scale = 1 / (static_cast<double>(nodes[which]) - static_cast<double>(nodes[k]));
    for (size_t power = ++degree; power > 0; --power)
      coefficients[power] = scale * (coefficients[power - 1] - root * coefficients[power]);
    coefficients[0] *= -root * scale;
  }
  const double length = to - from;
  double integral = 0;
  for (size_t power = degree + 1; power > 0; --power)
    integral = (integral + coefficients[power - 1] / static_cast<double>(power)) * length;
  return integral;
}

class Lms final : public SigmaSampler {
 public:
  Lms(const NoiseScheduleConfig& config, const SamplerOptions& options)
      : SigmaSampler(config, sigma_plan(config,
                                        {.sampler = kName,
                                         .table = {.honour_rescale = false},
                                         .karras_fills_run = true},
                                        options)) {
    for (size_t k = 0; k < plan_.steps(); ++k) add_call(plan_.timesteps[k], sigma(k));
  }

  Tensor step(const Tensor& model_output, int i, const Tensor& x, const NoiseSource&) override {
    const auto k = static_cast<size_t>(i);
    const float from = sigma(k);
    const Tensor picture = picture_at_call(i, x, model_output);
    slopes_.push_front(ops::weighted_sum({{1 / from, &x}, {-1 / from, &picture}}));
    if (slopes_.size() > kOrder) slopes_.pop_back();
    // The order follows the step and not the slopes there are: a run begun in the middle misses the
    // terms of steps it has not made, a surprise of the reference.
    const size_t order = std::min(k + 1, kOrder);
    std::array<float, kOrder> nodes{};
    for (size_t back = 0; back < order; ++back) nodes[back] = sigma(k - back);
    std::vector<WeightedTerm> terms = {{1, &x}};
    for (size_t back = 0; back < slopes_.size(); ++back)
      terms.push_back({static_cast<float>(lagrange_integral(std::span(nodes).first(order), back,
                                                            from, sigma(k + 1))),
                       &slopes_[back]});
    return ops::weighted_sum(terms);
  }

 private:
  std::deque<Tensor> slopes_;  // newest first
};

}  // namespace

std::unique_ptr<Sampler> make_lms(const NoiseScheduleConfig& config,
                                  const SamplerOptions& options) {
  return std::make_unique<Lms>(config, options);
}

}  // namespace tintype
