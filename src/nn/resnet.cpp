#include "nn/resnet.h"

namespace tintype::nn {

ResnetBlock2D::ResnetBlock2D(const WeightScope& w, const Options& o)
    : activation_(o.activation),
      norm1_(w / "norm1", o.groups, o.in_channels, o.eps),
      conv1_(w / "conv1", o.in_channels, o.out_channels, 3, same_padding(1)),
      norm2_(w / "norm2", o.groups, o.out_channels, o.eps),
      conv2_(w / "conv2", o.out_channels, o.out_channels, 3, same_padding(1)) {
  if (o.temb_channels) time_emb_proj_.emplace(w / "time_emb_proj", o.temb_channels, o.out_channels);
  if (o.in_channels != o.out_channels)
    conv_shortcut_.emplace(w / "conv_shortcut", o.in_channels, o.out_channels, 1, same_padding(0));
}

Tensor ResnetBlock2D::forward(Tensor x, const Tensor* activated_temb, BandMoments* bands,
                              const AdapterView* adapters) const {
  std::optional<Tensor> temb;
  if (time_emb_proj_) temb = time_emb_proj_->forward(*activated_temb, {.adapters = adapters});
  // First, so that a decoder's largest activation, x, is given up before the convolutions.
  const Tensor shortcut = conv_shortcut_ ? conv_shortcut_->forward(x, {.adapters = adapters}) : x;
  Tensor h = norm1_.forward(
      x, {.activation = activation_, .bands = bands, .consumer = conv1_.input_format(adapters)});
  x = {};
  h = conv1_.forward(h, {.image_bias = temb ? &*temb : nullptr, .adapters = adapters});
  h = norm2_.forward(
      h, {.activation = activation_, .bands = bands, .consumer = conv2_.input_format(adapters)});
  return conv2_.forward(h, {.residual = &shortcut, .adapters = adapters});
}

namespace {

Conv2dGeometry downsample_geometry(int padding) {
  if (padding == 0) return {.stride = 2, .pad_bottom = 1, .pad_right = 1};
  return same_padding(padding, 2);
}

}  // namespace

Downsample2D::Downsample2D(const WeightScope& w, int64_t channels, int padding)
    : conv_(w / "conv", channels, channels, 3, downsample_geometry(padding)) {}

}  // namespace tintype::nn
