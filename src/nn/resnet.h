/// The residual block and the resampling layers that diffusion UNets and their autoencoders share.
/// Members keep the checkpoint's names. Immutable after construction.
/// source  diffusers models/resnet.py, downsampling.py, upsampling.py
#pragma once

#include <optional>

#include "nn/layers.h"

namespace tintype::nn {

/// norm1, act, conv1 (+ time embedding), norm2, act, conv2, + shortcut.
class ResnetBlock2D {
 public:
  struct Options {
    int64_t in_channels = 0, out_channels = 0;
    int64_t temb_channels = 0;  ///< 0: no time embedding (autoencoders)
    int groups = 32;
    float eps = 1e-5f;
    Activation activation = Activation::kSilu;
  };
  ResnetBlock2D(const WeightScope& w, const Options& options);

  /// x [B,H,W,Cin] -> [B,H,W,Cout]. `activated_temb` [B,temb] is the time embedding after the
  /// activation, which all blocks share; null in autoencoders.
  /// `bands` as in GroupNorm.
  Tensor forward(Tensor x, const Tensor* activated_temb = nullptr, BandMoments* bands = nullptr,
                 const AdapterView* adapters = nullptr) const;

 private:
  Activation activation_;
  GroupNorm norm1_;
  Conv2d conv1_;
  std::optional<Linear> time_emb_proj_;
  GroupNorm norm2_;
  Conv2d conv2_;
  std::optional<Conv2d> conv_shortcut_;
};

/// 3x3 convolution with stride 2: [B,H,W,C] -> [B,ceil(H/2),ceil(W/2),C] with padding 1.
class Downsample2D {
 public:
  /// `padding` 0 pads right and bottom only, as the autoencoder does.
  Downsample2D(const WeightScope& w, int64_t channels, int padding);
  Tensor forward(const Tensor& x, const AdapterView* adapters = nullptr) const {
    return conv_.forward(x, {.adapters = adapters});
  }

 private:
  Conv2d conv_;
};

/// Nearest-neighbour resize, then a 3x3 convolution.
class Upsample2D {
 public:
  Upsample2D(const WeightScope& w, int64_t channels)
      : conv_(w / "conv", channels, channels, 3, same_padding(1)) {}
  Tensor forward(const Tensor& x, int64_t height, int64_t width,
                 const AdapterView* adapters = nullptr) const {
    return conv_.forward_resized(x, height, width, {.adapters = adapters});
  }

 private:
  Conv2d conv_;
};

}  // namespace tintype::nn
