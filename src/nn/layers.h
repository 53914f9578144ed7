/// Layers: weights bound by path at construction, forward passes composed of ops. Immutable after
/// construction, so one model serves many requests. Holds no model's quirks.
/// A layer built from a faulty checkpoint has undefined weights; WeightLoader::finish() throws
/// before anyone can call it.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>

#include "nn/adapter_view.h"
#include "nn/band_moments.h"
#include "ops/ops.h"
#include "weights/weights.h"

namespace tintype::nn {

/// What a layer may fuse into its store, see Epilogue; and what the request's adapters add to it.
struct Fused {
  Activation activation = Activation::kNone;
  const Tensor* image_bias = nullptr;
  const Tensor* residual = nullptr;
  const AdapterView* adapters = nullptr;
};

/// y = x W^T + b. x [..., in] -> [..., out]
class Linear {
 public:
  struct Options {
    bool bias = true;
    bool from_conv1x1 = false;  ///< the checkpoint may store the matrix as [out,in,1,1]
  };
  Linear(const WeightScope& w, int64_t in_features, int64_t out_features)
      : Linear(w, in_features, out_features, Options{}) {}
  Linear(const WeightScope& w, int64_t in_features, int64_t out_features, const Options& options);
  Tensor forward(const Tensor& x, const Fused& fused = {}) const;
  int64_t slot() const { return slot_; }  ///< no other layer of the model has it
  /// What its input is best made for, with what adapters add to it; see Backend::input_type.
  WeightFormat input_format(const AdapterView* adapters) const;

 private:
  int64_t slot_ = -1;  ///< where adapters find it; see WeightScope::add_slot
  std::unique_ptr<PackedWeight> weight_;
  std::optional<Tensor> bias_;
};

/// Cross-correlation over [B,H,W,C]; weight [out,in,k,k] and bias [out].
class Conv2d {
 public:
  Conv2d(const WeightScope& w, int64_t in_channels, int64_t out_channels, int64_t kernel,
         const Conv2dGeometry& geometry);
  Tensor forward(const Tensor& x, const Fused& fused = {}) const;
  /// Over x resized to `height` x `width`, nearest neighbour; see Conv2dGeometry.
  Tensor forward_resized(const Tensor& x, int64_t height, int64_t width,
                         const Fused& fused = {}) const;
  /// What its input is best made for, with what adapters add to it; see Backend::input_type.
  WeightFormat input_format(const AdapterView* adapters) const;

 private:
  int64_t slot_ = -1;
  Conv2dGeometry geometry_;
  std::unique_ptr<PackedWeight> weight_;
  Tensor bias_;
};

/// Symmetric padding and a stride: the common geometry.
inline Conv2dGeometry same_padding(int pad, int stride = 1) {
  return {.stride = stride, .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad};
}

/// What one input can be made for that several layers take: kInt8 where all of them do.
WeightFormat input_format(std::initializer_list<const Linear*> layers, const AdapterView* adapters);

class LayerNorm {
 public:
  LayerNorm(const WeightScope& w, int64_t channels, float eps);
  /// `consumer`: format of the weights that the result meets; see Backend::input_type.
  Tensor forward(const Tensor& x, WeightFormat consumer = WeightFormat::kStored) const;

 private:
  float eps_;
  Tensor weight_, bias_;
};

class GroupNorm {
 public:
  GroupNorm(const WeightScope& w, int groups, int64_t channels, float eps);
  struct Use {
    Activation activation = Activation::kNone;
    BandMoments* bands = nullptr;  ///< x is a band of a picture; null: x is all of it
    WeightFormat consumer = WeightFormat::kStored;  ///< as of LayerNorm
  };
  Tensor forward(const Tensor& x) const { return forward(x, Use{}); }
  Tensor forward(const Tensor& x, const Use& use) const;

 private:
  int groups_;
  float eps_;
  Tensor weight_, bias_;
};

/// Rows of a table, which keeps the element type of its file: CLIP-L's takes 76 MB in f16.
class Embedding {
 public:
  Embedding(const WeightScope& w, int64_t count, int64_t width);
  Tensor forward(const Tensor& ids) const;

 private:
  Tensor table_;
};

}  // namespace tintype::nn
