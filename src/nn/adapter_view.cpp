#include "nn/adapter_view.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ops/ops.h"

namespace tintype::nn {
namespace {

constexpr int64_t kAllImages = std::numeric_limits<int64_t>::max();

/// up's inputs: [images,...,R].
Tensor middle_of(const LayerDelta& delta, const Tensor& x, const Conv2dGeometry* geometry) {
  if (geometry) {
    if (!delta.mid) return ops::conv2d(x, *delta.down, *geometry);
    // A nearest-neighbour resize may wait until after a 1x1 convolution.
    return ops::conv2d(ops::conv2d(x, *delta.down, {}), *delta.mid, *geometry);
  }
  if (delta.blocks == 1) return ops::linear(x, *delta.down);
  const int64_t width = x.dim(-1) / delta.blocks;
  const Tensor runs = x.reshape(Shape{x.numel() / width, width});
  const int64_t rank = delta.down->shape()[0] * delta.blocks;
  return ops::linear(runs, *delta.down).reshape(x.shape().with(-1, rank));
}

}  // namespace

size_t LayerDelta::bytes() const {
  size_t sum = down->bytes() + (mid ? mid->bytes() : 0) + (up ? up->bytes() : 0);
  if (magnitude) sum += magnitude->magnitude.size() * (sizeof(float) + 3 * sizeof(double));
  return sum;
}

AppliedDelta apply(std::shared_ptr<const LayerDelta> delta, float weight) {
  AppliedDelta applied{.delta = std::move(delta)};
  applied.scale = applied.delta->scale * weight;
  if (!applied.delta->magnitude) return applied;
  const MagnitudeChange& m = *applied.delta->magnitude;
  const double s = applied.scale;
  for (size_t n = 0; n < m.magnitude.size(); ++n) {
    const double square = m.weight_squares[n] + 2 * s * m.products[n] + s * s * m.change_squares[n];
    // A row that vanishes has no direction and adds nothing.
    applied.gain.push_back(square > 0 ? static_cast<float>(m.magnitude[n] / std::sqrt(square)) : 0);
  }
  return applied;
}

WeightFormat joint_format(std::span<const AppliedDelta> deltas, const PackedWeight& weight) {
  const bool joint = std::ranges::all_of(deltas, [&](const AppliedDelta& applied) {
    return applied.delta->down->format() == weight.format();
  });
  return joint ? weight.format() : WeightFormat::kStored;
}

AdapterView::AdapterView(std::vector<Entry> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.slot < b.slot; });
  if (!entries.empty()) first_.resize(static_cast<size_t>(entries.back().slot) + 2, 0);
  for (Entry& entry : entries) {
    ++first_[static_cast<size_t>(entry.slot) + 1];
    mixed_ |= entry.delta.first_image != 0 || entry.delta.last_image != kAllImages;
    deltas_.push_back(std::move(entry.delta));
  }
  for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
}

std::span<const AppliedDelta> AdapterView::at(int64_t slot) const {
  const auto i = static_cast<size_t>(slot);
  if (i + 1 >= first_.size()) return {};
  return std::span(deltas_).subspan(first_[i], first_[i + 1] - first_[i]);
}

std::shared_ptr<const AdapterView> side_by_side(std::span<const AdapterView* const> of_image) {
  std::vector<AdapterView::Entry> entries;
  for (size_t image = 0; image < of_image.size(); ++image)
    for (int64_t slot = 0; of_image[image] && slot < of_image[image]->slots(); ++slot)
      for (const AppliedDelta& delta : of_image[image]->at(slot)) {
        entries.push_back({slot, delta});
        entries.back().delta.first_image = static_cast<int64_t>(image);
        entries.back().delta.last_image = static_cast<int64_t>(image) + 1;
      }
  if (entries.empty()) return nullptr;
  return std::make_shared<const AdapterView>(std::move(entries));
}

LowRankTerms::LowRankTerms(std::span<const AppliedDelta> deltas, const Tensor& x, int64_t outputs,
                           const Conv2dGeometry* geometry) {
  tensors_.reserve(2 * deltas.size() + 1);
  std::vector<float> gains;  // [B,N]
  for (const AppliedDelta& applied : deltas) {
    const int64_t last = std::min(applied.last_image, x.dim(0));
    if (applied.first_image >= last) continue;
    const bool all = applied.first_image == 0 && last == x.dim(0);
    const Tensor seen = all ? x : x.slice(applied.first_image, last);
    LowRankTerm term{.middle = &tensors_.emplace_back(middle_of(*applied.delta, seen, geometry)),
                     .up = applied.delta->up.get(),
                     .scale = applied.scale,
                     .first_image = applied.first_image};
    if (!applied.gain.empty()) {
      const std::span<const float> gain = applied.gain;
      term.gain =
          &tensors_.emplace_back(ops::to_device(host_tensor(Shape{outputs}, gain), x.device()));
      // Each delta changes the weight's own part by its gain less 1, as peft adds them up.
      gains.resize(static_cast<size_t>(x.dim(0) * outputs), 1.0f);
      for (int64_t image = applied.first_image; image < last; ++image)
        for (int64_t n = 0; n < outputs; ++n)
          gains[static_cast<size_t>(image * outputs + n)] += gain[static_cast<size_t>(n)] - 1.0f;
    }
    terms_.push_back(term);
  }
  if (!gains.empty())
    image_gain_ = &tensors_.emplace_back(ops::to_device(
        host_tensor(Shape{x.dim(0), outputs}, std::span<const float>(gains)), x.device()));
}

void LowRankTerms::add_to(Epilogue& epilogue) const {
  epilogue.low_rank = terms_;
  epilogue.image_gain = image_gain_;
}

}  // namespace tintype::nn
