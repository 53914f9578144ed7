#include "nn/layers.h"

#include <algorithm>
#include <array>

#include "backend/registry.h"

namespace tintype::nn {
namespace {

/// What a tensor becomes besides its place.
enum class Keep { kAsStored, kWidened };

/// The tensor on the scope's device, in memory of its own: small parameters do not keep a file
/// mapped, unless it is meant to stay so. Undefined stays undefined.
Tensor tensor(const WeightScope& w, std::string_view name, const Shape& shape, Keep keep) {
  const Tensor host = w.take(name, shape);
  if (!host.defined()) return {};
  const DType dtype = keep == Keep::kWidened ? DType::kF32 : host.dtype();
  if (w.sink())
    w.sink()->add({.name = (w / name).path(),
                   .shape = shape,
                   .layout = {},
                   .element = cat(dtype),
                   .parts = {ops::cast(host, dtype)}});
  if (w.stays_mapped()) return ops::cast(ops::to_device(host, w.device()), dtype);
  Tensor copy = ops::empty(host.shape(), host.dtype(), w.device());
  backend_for(w.device()).copy_from_host(host, copy);
  return ops::cast(copy, dtype);
}

Tensor parameter(const WeightScope& w, std::string_view name, int64_t count) {
  return tensor(w, name, Shape{count}, Keep::kWidened);
}

/// The weight as the scope's device multiplies it, in the first of `shapes` whichever the
/// checkpoint stores; null where the checkpoint is faulty.
std::unique_ptr<PackedWeight> packed_weight(const WeightScope& w, std::span<const Shape> shapes) {
  if (w.packed("weight")) {
    const auto parts = w.take_packed("weight", shapes[0]);
    return parts ? ops::adopt(*parts, w.device()) : nullptr;
  }
  const Tensor stored = w.take("weight", shapes);
  if (!stored.defined()) return nullptr;
  const Tensor weight = stored.reshape(shapes[0]);
  if (w.sink()) {
    const auto packed = ops::pack(weight, Device::kCpu, w.format());
    PackedParts parts = ops::packed_parts(*packed, Device::kCpu);
    parts.name = (w / "weight").path();
    w.sink()->add(parts);
  }
  return ops::pack(weight, w.device(), w.format());
}

/// Of a faulty checkpoint's weight too.
WeightFormat format_of(const std::unique_ptr<PackedWeight>& weight) {
  return weight ? weight->format() : WeightFormat::kStored;
}

std::span<const AppliedDelta> deltas_of(const Fused& fused, int64_t slot) {
  return fused.adapters ? fused.adapters->at(slot) : std::span<const AppliedDelta>();
}

}  // namespace

Linear::Linear(const WeightScope& w, int64_t in_features, int64_t out_features,
               const Options& options) {
  const std::array shapes = {Shape{out_features, in_features},
                             Shape{out_features, in_features, 1, 1}};
  weight_ = packed_weight(w, std::span(shapes).first(options.from_conv1x1 ? 2 : 1));
  if (options.bias) bias_ = parameter(w, "bias", out_features);
  slot_ = w.add_slot(shapes[0], format_of(weight_));
}

Tensor Linear::forward(const Tensor& x, const Fused& fused) const {
  Epilogue epilogue{.bias = bias_ ? &*bias_ : nullptr,
                    .image_bias = fused.image_bias,
                    .activation = fused.activation,
                    .residual = fused.residual};
  const auto deltas = deltas_of(fused, slot_);
  if (deltas.empty()) return ops::linear(x, *weight_, epilogue);
  const Tensor seen = ops::as_input(x, joint_format(deltas, *weight_));
  const LowRankTerms terms(deltas, seen, weight_->shape()[0], nullptr);
  terms.add_to(epilogue);
  return ops::linear(seen, *weight_, epilogue);
}

Conv2d::Conv2d(const WeightScope& w, int64_t in_channels, int64_t out_channels, int64_t kernel,
               const Conv2dGeometry& geometry)
    : geometry_(geometry) {
  const Shape shape{out_channels, in_channels, kernel, kernel};
  weight_ = packed_weight(w, std::span(&shape, 1));
  bias_ = parameter(w, "bias", out_channels);
  slot_ = w.add_slot(shape, format_of(weight_));
}

Tensor Conv2d::forward(const Tensor& x, const Fused& fused) const {
  return forward_resized(x, 0, 0, fused);
}

Tensor Conv2d::forward_resized(const Tensor& x, int64_t height, int64_t width,
                               const Fused& fused) const {
  Conv2dGeometry geometry = geometry_;
  geometry.resize_height = height;
  geometry.resize_width = width;
  Epilogue epilogue{.bias = &bias_,
                    .image_bias = fused.image_bias,
                    .activation = fused.activation,
                    .residual = fused.residual};
  const auto deltas = deltas_of(fused, slot_);
  if (deltas.empty()) return ops::conv2d(x, *weight_, geometry, epilogue);
  const Tensor seen = ops::as_input(x, joint_format(deltas, *weight_));
  const LowRankTerms terms(deltas, seen, weight_->shape()[0], &geometry);
  terms.add_to(epilogue);
  return ops::conv2d(seen, *weight_, geometry, epilogue);
}

WeightFormat Linear::input_format(const AdapterView* adapters) const {
  return joint_format(adapters ? adapters->at(slot_) : std::span<const AppliedDelta>(), *weight_);
}

WeightFormat Conv2d::input_format(const AdapterView* adapters) const {
  return joint_format(adapters ? adapters->at(slot_) : std::span<const AppliedDelta>(), *weight_);
}

WeightFormat input_format(std::initializer_list<const Linear*> layers,
                          const AdapterView* adapters) {
  const bool int8 = std::ranges::all_of(layers, [&](const Linear* layer) {
    return layer->input_format(adapters) == WeightFormat::kInt8;
  });
  return int8 ? WeightFormat::kInt8 : WeightFormat::kStored;
}

LayerNorm::LayerNorm(const WeightScope& w, int64_t channels, float eps)
    : eps_(eps), weight_(parameter(w, "weight", channels)), bias_(parameter(w, "bias", channels)) {}

Tensor LayerNorm::forward(const Tensor& x, WeightFormat consumer) const {
  return ops::layer_norm(x, weight_, bias_, eps_, consumer);
}

GroupNorm::GroupNorm(const WeightScope& w, int groups, int64_t channels, float eps)
    : groups_(groups),
      eps_(eps),
      weight_(parameter(w, "weight", channels)),
      bias_(parameter(w, "bias", channels)) {}

Tensor GroupNorm::forward(const Tensor& x, const Use& use) const {
  const Tensor moments = use.bands ? use.bands->next(x, groups_) : Tensor();
  return ops::group_norm(x,
                         {.groups = groups_,
                          .eps = eps_,
                          .activation = use.activation,
                          .moments = use.bands ? &moments : nullptr,
                          .consumer = use.consumer},
                         weight_, bias_);
}

Embedding::Embedding(const WeightScope& w, int64_t count, int64_t width)
    : table_(tensor(w, "weight", Shape{count, width}, Keep::kAsStored)) {}

Tensor Embedding::forward(const Tensor& ids) const { return ops::embedding(table_, ids); }

}  // namespace tintype::nn
