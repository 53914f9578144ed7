/// Values in, value out: each op checks its arguments, allocates the result on its input's device
/// and dispatches. Errors are kInvalidArgument with the op's name; all tensors of a call share one
/// device; f32 unless said otherwise. Thread-safe: no state.
#pragma once

#include <initializer_list>
#include <span>

#include "backend/backend.h"
#include "tensor/tensor.h"

namespace tintype::ops {

/// Uninitialised tensor on `device`.
Tensor empty(const Shape& shape, DType dtype, Device device);
/// Copies between host memory and a device; the same handle when x is already there.
Tensor to_device(const Tensor& host, Device device);
Tensor to_host(const Tensor& x);
/// Elementwise conversion between f32, f16 and bf16, round to nearest even.
Tensor cast(const Tensor& x, DType dtype);
/// x f32 as products with weights of `consumer` take it: rounded once for all of them, where each
/// would round it; else the same handle. See Backend::input_type.
Tensor as_input(const Tensor& x, WeightFormat consumer);

/// A weight in host memory, f32 | f16 | bf16, in the form in which `device` multiplies it: [N,K] of
/// a linear layer or [O,I,kh,kw] of a convolution.
std::unique_ptr<PackedWeight> pack(const Tensor& weight, Device device,
                                   WeightFormat format = WeightFormat::kStored);

/// A weight packed for `device` as tensors that a file can hold, and back; the bytes are shared.
/// throws as Backend::parts and Backend::adopt
PackedParts packed_parts(const PackedWeight& weight, Device device);
std::unique_ptr<PackedWeight> adopt(const PackedParts& parts, Device device);

/// out[..., n] = sum_k x[..., k] w[n, k], then the epilogue.
/// x [..., K], f32 or as norms hand it over; weight packed [N,K]; returns [..., N]
Tensor linear(const Tensor& x, const PackedWeight& weight, const Epilogue& epilogue = {});

/// 2-D cross-correlation, zero padded, over x or over x resized (Conv2dGeometry::resize_height).
/// x [B,H,W,I] as of linear; weight packed [O,I,kh,kw]; returns [B,H',W',O]
Tensor conv2d(const Tensor& x, const PackedWeight& weight, const Conv2dGeometry& geometry,
              const Epilogue& epilogue = {});

/// softmax(scale q k^T) v per head, without the [S,T] matrix in memory where the backend can.
/// q [B,S,H*D]; k, v [B,T,H*D]; returns [B,S,H*D]
/// source  Vaswani et al. 2017, arXiv:1706.03762
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options);

/// (x - mean) / sqrt(var + eps) * weight + bias over the last axis; weight, bias [C]. `consumer`:
/// what the result meets, here and in group_norm and geglu; see Backend::input_type. source  Ba et
/// al. 2016, arXiv:1607.06450
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                  WeightFormat consumer = WeightFormat::kStored);

/// Mean and variance (without Bessel's correction) of each of `groups` channel groups over all
/// positions of an image. x [B,...,C], C divisible by groups; returns [B,groups,2]
Tensor group_moments(const Tensor& x, int groups);

/// Normalises each channel group over all positions of an image, then activates.
/// x [B,...,C], C divisible by groups; weight, bias [C].
/// source  Wu & He 2018, arXiv:1803.08494
Tensor group_norm(const Tensor& x, const GroupNormOptions& options, const Tensor& weight,
                  const Tensor& bias);

/// silu: x*sigmoid(x); gelu: exact (erf); quick_gelu: x*sigmoid(1.702x);
/// leaky_relu: x where positive, else 0.2x
Tensor activation(const Tensor& x, Activation activation);

/// x [..., 2C] -> x[..., :C] * gelu(x[..., C:]).  source  Shazeer 2020, arXiv:2002.05202
Tensor geglu(const Tensor& x, WeightFormat consumer = WeightFormat::kStored);

/// sum_i weight_i * tensor_i, one shape, summed left to right. The step rules of samplers use it.
Tensor weighted_sum(std::initializer_list<WeightedTerm> terms);
Tensor weighted_sum(std::span<const WeightedTerm> terms);
inline Tensor add(const Tensor& a, const Tensor& b) {
  return weighted_sum({{1.0f, &a}, {1.0f, &b}});
}

/// Joins along the last axis.
Tensor concat_last(const Tensor& a, const Tensor& b);
/// Joins along the first axis (a copy): the two halves of classifier-free guidance.
Tensor concat_first(const Tensor& a, const Tensor& b);
/// Any number of them, at least one; pairwise, so each byte is copied log2(n) times.
Tensor concat_first(std::span<const Tensor> parts);

/// x [B,...] again and again along the first axis until there are `rows`, a multiple of B: row i is
/// x's row i mod B. The same handle when it has so many.
Tensor repeat_first(const Tensor& x, int64_t rows);

/// Rows of table [V,E] (f32 | f16 | bf16) by ids [...] (i32, 0..V-1, checked), widened to f32;
/// returns [..., E]
Tensor embedding(const Tensor& table, const Tensor& ids);

}  // namespace tintype::ops
