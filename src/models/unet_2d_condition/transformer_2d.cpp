#include "models/unet_2d_condition/transformer_2d.h"

#include <cmath>

namespace tintype {
namespace {

constexpr float kGroupNormEps = 1e-6f;  // fixed in the reference, unlike the resnets' norm_eps
constexpr float kLayerNormEps = 1e-5f;

/// Channels the heads cover: all of them, or the largest multiple of the head count.
int64_t inner_width(const Transformer2DModel::Options& o) { return o.channels / o.heads * o.heads; }

}  // namespace

CrossAttention::CrossAttention(const WeightScope& w, int64_t width, int64_t context_width,
                               int64_t heads)
    : heads_(static_cast<int>(heads)),
      scale_(1.0f / std::sqrt(static_cast<float>(width / heads))),
      int8_(w.format() == WeightFormat::kInt8),
      to_q_(w / "to_q", width, width, {.bias = false}),
      to_k_(w / "to_k", context_width, width, {.bias = false}),
      to_v_(w / "to_v", context_width, width, {.bias = false}),
      to_out_(w / "to_out.0", width, width) {}

Tensor CrossAttention::forward(const Tensor& x, const Tensor& context, const Tensor& residual,
                               const nn::AdapterView* adapters,
                               ContextProjections* projections) const {
  const nn::Fused with{.adapters = adapters};
  ContextProjections own;
  auto& known = (projections ? projections : &own)->of_layer;
  const auto [entry, missing] = known.try_emplace(to_k_.slot());
  auto& [keys, values] = entry->second;
  if (missing) {
    keys = to_k_.forward(context, with);
    values = to_v_.forward(context, with);
  }
  const Tensor mixed = ops::attention(to_q_.forward(x, with), keys, values,
                                      {.heads = heads_, .scale = scale_, .int8 = int8_});
  return to_out_.forward(mixed, {.residual = &residual, .adapters = adapters});
}

BasicTransformerBlock::BasicTransformerBlock(const WeightScope& w, int64_t width,
                                             int64_t context_width, int64_t heads)
    : norm1_(w / "norm1", width, kLayerNormEps),
      attn1_(w / "attn1", width, width, heads),
      norm2_(w / "norm2", width, kLayerNormEps),
      attn2_(w / "attn2", width, context_width, heads),
      norm3_(w / "norm3", width, kLayerNormEps),
      ff_in_(w / "ff.net.0.proj", width, 8 * width),
      ff_out_(w / "ff.net.2", 4 * width, width) {}

Tensor BasicTransformerBlock::forward(const Tensor& x, const Tensor& context,
                                      const nn::AdapterView* adapters,
                                      ContextProjections* projections) const {
  Tensor n = norm1_.forward(x, attn1_.self_format(adapters));
  Tensor h = attn1_.forward(n, n, x, adapters, nullptr);
  h = ops::repeat_first(h, context.dim(0));
  h = attn2_.forward(norm2_.forward(h, attn2_.query_format(adapters)), context, h, adapters,
                     projections);
  n = norm3_.forward(h, ff_in_.input_format(adapters));
  n = ops::geglu(ff_in_.forward(n, {.adapters = adapters}), ff_out_.input_format(adapters));
  return ff_out_.forward(n, {.residual = &h, .adapters = adapters});
}

// The 1x1 convolutions of Stable Diffusion 1 and the linear projections of later models are the
// same product over channels-last tokens, so one layer reads both.
Transformer2DModel::Transformer2DModel(const WeightScope& w, const Options& o)
    : norm_(w / "norm", o.groups, o.channels, kGroupNormEps),
      proj_in_(w / "proj_in", o.channels, inner_width(o), {.from_conv1x1 = true}),
      proj_out_(w / "proj_out", inner_width(o), o.channels, {.from_conv1x1 = true}) {
  for (int64_t i = 0; i < o.layers; ++i)
    transformer_blocks_.emplace_back(w / "transformer_blocks" / i, inner_width(o), o.context_width,
                                     o.heads);
}

Tensor Transformer2DModel::forward(const Tensor& x, const Tensor& context,
                                   const nn::AdapterView* adapters,
                                   ContextProjections* projections) const {
  const Shape tokens{x.dim(0), x.dim(1) * x.dim(2), x.dim(3)};
  Tensor residual = x.reshape(tokens);
  Tensor h =
      proj_in_.forward(norm_.forward(residual, {.consumer = proj_in_.input_format(adapters)}),
                       {.adapters = adapters});
  for (const BasicTransformerBlock& block : transformer_blocks_)
    h = block.forward(h, context, adapters, projections);
  residual = ops::repeat_first(residual, context.dim(0));
  return proj_out_.forward(h, {.residual = &residual, .adapters = adapters})
      .reshape(x.shape().with(0, context.dim(0)));
}

}  // namespace tintype
