/// The spatial transformer of the UNet: tokens are pixels, context is text. Immutable after load.
/// source  diffusers models/transformers/transformer_2d.py, models/attention.py
#pragma once

#include <optional>
#include <vector>

#include "models/roles.h"
#include "nn/layers.h"

namespace tintype {

/// Multi-head attention with q from x and k, v from `context`.
class CrossAttention {
 public:
  CrossAttention(const WeightScope& w, int64_t width, int64_t context_width, int64_t heads);
  /// x [B,S,C], context [B,T,E] -> to_out(attention) + residual, [B,S,C]. Keys and values come from
  /// `projections`, or go there; null: they are made for this call.
  Tensor forward(const Tensor& x, const Tensor& context, const Tensor& residual,
                 const nn::AdapterView* adapters, ContextProjections* projections) const;
  /// What x is made for, where it is the context too and where it is not.
  WeightFormat self_format(const nn::AdapterView* adapters) const {
    return nn::input_format({&to_q_, &to_k_, &to_v_}, adapters);
  }
  WeightFormat query_format(const nn::AdapterView* adapters) const {
    return to_q_.input_format(adapters);
  }

 private:
  int heads_;
  float scale_;
  bool int8_;  ///< the products of attention may round to 8 bits; see WeightScope::format
  nn::Linear to_q_, to_k_, to_v_, to_out_;
};

/// {norm1, self-attention, norm2, cross-attention, norm3, GEGLU feed-forward}, each with a
/// residual.
class BasicTransformerBlock {
 public:
  BasicTransformerBlock(const WeightScope& w, int64_t width, int64_t context_width, int64_t heads);
  Tensor forward(const Tensor& x, const Tensor& context, const nn::AdapterView* adapters,
                 ContextProjections* projections) const;

 private:
  nn::LayerNorm norm1_;
  CrossAttention attn1_;
  nn::LayerNorm norm2_;
  CrossAttention attn2_;
  nn::LayerNorm norm3_;
  nn::Linear ff_in_, ff_out_;
};

class Transformer2DModel {
 public:
  struct Options {
    int64_t channels = 0, context_width = 0, heads = 8, layers = 1;
    int groups = 32;
  };
  Transformer2DModel(const WeightScope& w, const Options& options);
  /// x [B,H,W,C], context [R,T,E], R a multiple of B (see DenoisingNetwork::forward) -> [R,H,W,C]
  Tensor forward(const Tensor& x, const Tensor& context, const nn::AdapterView* adapters,
                 ContextProjections* projections) const;

 private:
  nn::GroupNorm norm_;
  nn::Linear proj_in_;
  std::vector<BasicTransformerBlock> transformer_blocks_;
  nn::Linear proj_out_;
};

}  // namespace tintype
