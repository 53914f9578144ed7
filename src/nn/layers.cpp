#include "nn/layers.h"

#include <array>

#include "backend/registry.h"

namespace tintype::nn {
namespace {

/// The tensor in memory of its own on `device`: small parameters do not keep a file mapped.
/// Undefined stays undefined.
Tensor owned(const Tensor& host, Device device) {
  if (!host.defined()) return {};
  Tensor copy = ops::empty(host.shape(), host.dtype(), device);
  backend_for(device).copy_from_host(host, copy);
  return copy;
}

Tensor parameter(const WeightScope& w, std::string_view name, int64_t count) {
  const Tensor stored = owned(w.take(name, Shape{count}), w.device());
  return stored.defined() ? ops::cast(stored, DType::kF32) : stored;
}

}  // namespace

Linear::Linear(const WeightScope& w, int64_t in_features, int64_t out_features,
               const Options& options) {
  const std::array shapes = {Shape{out_features, in_features},
                             Shape{out_features, in_features, 1, 1}};
  const Tensor weight = w.take("weight", std::span(shapes).first(options.from_conv1x1 ? 2 : 1));
  if (options.bias) bias_ = parameter(w, "bias", out_features);
  if (weight.defined()) weight_ = ops::pack(weight.reshape(shapes[0]), w.device(), w.format());
}

Tensor Linear::forward(const Tensor& x, const Fused& fused) const {
  return ops::linear(x, *weight_,
                     {.bias = bias_ ? &*bias_ : nullptr,
                      .image_bias = fused.image_bias,
                      .activation = fused.activation,
                      .residual = fused.residual});
}

Conv2d::Conv2d(const WeightScope& w, int64_t in_channels, int64_t out_channels, int64_t kernel,
               const Conv2dGeometry& geometry)
    : geometry_(geometry) {
  const Tensor weight = w.take("weight", Shape{out_channels, in_channels, kernel, kernel});
  bias_ = parameter(w, "bias", out_channels);
  if (weight.defined()) weight_ = ops::pack(weight, w.device(), w.format());
}

Tensor Conv2d::forward(const Tensor& x, const Fused& fused) const {
  return forward_resized(x, 0, 0, fused);
}

Tensor Conv2d::forward_resized(const Tensor& x, int64_t height, int64_t width,
                               const Fused& fused) const {
  Conv2dGeometry geometry = geometry_;
  geometry.resize_height = height;
  geometry.resize_width = width;
  return ops::conv2d(x, *weight_, geometry,
                     {.bias = &bias_,
                      .image_bias = fused.image_bias,
                      .activation = fused.activation,
                      .residual = fused.residual});
}

LayerNorm::LayerNorm(const WeightScope& w, int64_t channels, float eps)
    : eps_(eps), weight_(parameter(w, "weight", channels)), bias_(parameter(w, "bias", channels)) {}

Tensor LayerNorm::forward(const Tensor& x) const {
  return ops::layer_norm(x, weight_, bias_, eps_);
}

GroupNorm::GroupNorm(const WeightScope& w, int groups, int64_t channels, float eps)
    : groups_(groups),
      eps_(eps),
      weight_(parameter(w, "weight", channels)),
      bias_(parameter(w, "bias", channels)) {}

Tensor GroupNorm::forward(const Tensor& x, Activation activation, BandMoments* bands) const {
  const Tensor moments = bands ? bands->next(x, groups_) : Tensor();
  return ops::group_norm(x,
                         {.groups = groups_,
                          .eps = eps_,
                          .activation = activation,
                          .moments = bands ? &moments : nullptr},
                         weight_, bias_);
}

Embedding::Embedding(const WeightScope& w, int64_t count, int64_t width)
    : table_(owned(w.take("weight", Shape{count, width}), w.device())) {}

Tensor Embedding::forward(const Tensor& ids) const { return ops::embedding(table_, ids); }

}  // namespace tintype::nn
