#include "prompts/prompt_weights.h"

#include <algorithm>
#include <cmath>

#include "ops/ops.h"
#include "tensor/allocator.h"

namespace tintype {
namespace {

/// One window, rows [S,E] in place.
void scale_and_restore_mean(std::span<float> values, std::span<const float> weights) {
  const size_t width = values.size() / weights.size();
  double before = 0, after = 0;
  for (size_t s = 0; s < weights.size(); ++s) {
    for (size_t e = 0; e < width; ++e) {
      float& value = values[s * width + e];
      before += value;
      value *= weights[s];
      after += value;
    }
  }
  const double scale = before / after;
  if (!std::isfinite(scale)) return;
  for (float& value : values) value = static_cast<float>(value * scale);
}

void move_from_empty(std::span<float> values, std::span<const float> weights,
                     std::span<const float> empty) {
  const size_t width = values.size() / weights.size();
  for (size_t s = 0; s < weights.size(); ++s) {
    if (weights[s] == 1.0f) continue;
    for (size_t e = 0; e < width; ++e) {
      float& value = values[s * width + e];
      const float origin = empty[s * width + e];
      value = (value - origin) * weights[s] + origin;
    }
  }
}

}  // namespace

Tensor apply_prompt_weights(const Tensor& features, std::span<const float> weights, WeightRule rule,
                            const Tensor& empty) {
  TT_REQUIRE(features.rank() == 3, "prompt weights", "features must be [W,S,E], got ",
             features.shape());
  const int64_t windows = features.dim(0), tokens = features.dim(1), width = features.dim(2);
  TT_REQUIRE(static_cast<int64_t>(weights.size()) == windows * tokens, "prompt weights",
             "must be one for each of ", windows, " x ", tokens, " positions, got ",
             weights.size());
  if (std::all_of(weights.begin(), weights.end(), [](float w) { return w == 1.0f; }))
    return features;
  const bool from_empty = rule == WeightRule::kAwayFromEmpty;
  if (from_empty)
    TT_REQUIRE(empty.defined() && empty.shape() == features.shape().with(0, 1), "prompt weights",
               "the empty window's features must be ", features.shape().with(0, 1), ", got ",
               empty.defined() ? cat(empty.shape()) : "none");
  if (features.device() == Device::kMeta) return features;  // shapes only

  const Tensor host = ops::to_host(features);
  Tensor out = host_tensor(host.shape(), host.span<float>());
  const Tensor empty_values = from_empty ? ops::to_host(empty) : Tensor();
  const auto per_window = static_cast<size_t>(tokens * width);
  for (int64_t w = 0; w < windows; ++w) {
    const auto values =
        out.mutable_span<float>().subspan(static_cast<size_t>(w) * per_window, per_window);
    const auto row = weights.subspan(static_cast<size_t>(w * tokens), static_cast<size_t>(tokens));
    if (from_empty)
      move_from_empty(values, row, empty_values.span<float>());
    else
      scale_and_restore_mean(values, row);
  }
  return ops::to_device(out, features.device());
}

Tensor join_windows(const Tensor& features) {
  TT_REQUIRE(features.rank() == 3, "join windows", "features must be [W,S,E], got ",
             features.shape());
  return features.reshape({1, features.dim(0) * features.dim(1), features.dim(2)});
}

}  // namespace tintype
