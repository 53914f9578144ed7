#include "samplers/diffusion/latent_math.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "ops/ops.h"
#include "tensor/allocator.h"

namespace tintype {
namespace {

Tensor combine(float a, const Tensor& x, float b, const Tensor& y) {
  return ops::weighted_sum({{a, &x}, {b, &y}});
}
Tensor scaled(const Tensor& x, float factor) { return ops::weighted_sum({{factor, &x}}); }

/// torch.quantile of |values| in float32: linear interpolation between order statistics, written
/// as torch.lerp writes it. NaN when any value is.
float absolute_quantile(std::span<const float> values, float ratio) {
  std::vector<float> sorted(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    sorted[i] = std::abs(values[i]);
    if (std::isnan(sorted[i])) return sorted[i];
  }
  std::sort(sorted.begin(), sorted.end());
  const float rank = ratio * static_cast<float>(sorted.size() - 1);
  const auto low = std::min(static_cast<size_t>(rank), sorted.size() - 1);
  const float weight = rank - static_cast<float>(low);
  const float below = sorted[low];
  const float above = sorted[std::min(low + (weight > 0 ? 1 : 0), sorted.size() - 1)];
  return weight < 0.5f ? below + weight * (above - below) : above - (above - below) * (1 - weight);
}

}  // namespace

Tensor picture_of(PredictionType type, const SignalNoise& level, const Tensor& x,
                  const Tensor& model_output) {
  switch (type) {
    case PredictionType::kEpsilon:
      // Two roundings and then the division, as the reference: at the level without signal this is
      // infinite rather than NaN, and clipping makes a picture of it.
      return scaled(combine(1, x, -level.sigma, model_output), 1 / level.alpha);
    case PredictionType::kVPrediction:
      return combine(level.alpha, x, -level.sigma, model_output);
    case PredictionType::kSample:
      return model_output;
  }
  fail(ErrorKind::kInternal, "sampler", "prediction type without a rule");
}

Tensor noise_of(PredictionType type, const SignalNoise& level, const Tensor& x,
                const Tensor& model_output) {
  switch (type) {
    case PredictionType::kEpsilon:
      return model_output;
    case PredictionType::kVPrediction:
      return combine(level.alpha, model_output, level.sigma, x);
    case PredictionType::kSample:
      return scaled(combine(1, x, -level.alpha, model_output), 1 / level.sigma);
  }
  fail(ErrorKind::kInternal, "sampler", "prediction type without a rule");
}

Tensor picture_at_sigma(PredictionType type, float sigma, const Tensor& x,
                        const Tensor& model_output) {
  const float variance = sigma * sigma + 1;
  switch (type) {
    case PredictionType::kEpsilon:
      return combine(1, x, -sigma, model_output);
    case PredictionType::kVPrediction:
      return combine(-sigma / std::sqrt(variance), model_output, 1 / variance, x);
    case PredictionType::kSample:
      return model_output;
  }
  fail(ErrorKind::kInternal, "sampler", "prediction type without a rule");
}

Tensor scaled_to_unit_variance(const Tensor& x, float sigma) {
  return scaled(x, 1 / std::sqrt(sigma * sigma + 1));
}

Tensor clip(const Tensor& x, float range) {
  const Tensor host = ops::to_host(x);
  Tensor out = empty_host(x.shape());
  const std::span<float> values = out.mutable_span<float>();
  std::transform(host.span<float>().begin(), host.span<float>().end(), values.begin(),
                 [range](float value) { return std::clamp(value, -range, range); });
  return ops::to_device(out, x.device());
}

Tensor dynamic_threshold(const Tensor& x, const ThresholdOptions& options) {
  const Tensor host = ops::to_host(x);
  Tensor out = empty_host(x.shape());
  if (x.numel() == 0) return ops::to_device(out, x.device());
  const auto per_image = static_cast<size_t>(x.numel() / x.dim(0));
  for (size_t begin = 0; begin < static_cast<size_t>(x.numel()); begin += per_image) {
    const auto image = host.span<float>().subspan(begin, per_image);
    // torch.clamp(min=1, max): a max below 1 wins; a NaN passes.
    const float quantile = absolute_quantile(image, options.ratio);
    const float limit =
        std::isnan(quantile) ? quantile : std::min(std::max(quantile, 1.0f), options.max);
    const std::span<float> values = out.mutable_span<float>().subspan(begin, per_image);
    std::transform(image.begin(), image.end(), values.begin(), [limit](float value) {
      if (std::isnan(limit)) return limit;
      return std::clamp(value, -limit, limit) / limit;
    });
  }
  return ops::to_device(out, x.device());
}

}  // namespace tintype
