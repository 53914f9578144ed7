/// The contract between ops and a device: a short list of primitives, each also written in the
/// plainest form by the reference backend, which is every other backend's test twin.
/// Callers are src/ops and src/nn, which have checked every argument: implementations only compute.
/// Layouts: image activations [B,H,W,C], tokens [B,S,C], all f32 unless said otherwise.
/// Thread-safety: const methods may run concurrently; a backend keeps no per-request state.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "tensor/allocator.h"
#include "tensor/packed_parts.h"
#include "tensor/tensor.h"

namespace tintype {

enum class Activation : uint8_t { kNone, kSilu, kGelu, kQuickGelu, kLeakyRelu };
std::string_view to_string(Activation activation);

/// A weight matrix or filter in whatever form its backend multiplies fastest. Immutable.
class PackedWeight {
 public:
  PackedWeight(const Shape& shape, size_t bytes) : shape_(shape), bytes_(bytes) {}
  virtual ~PackedWeight() = default;
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  /// [N,K] for linear, [O,I,kh,kw] for convolution: the checkpoint's shape.
  const Shape& shape() const { return shape_; }
  size_t bytes() const { return bytes_; }
  /// What it is multiplied in. For reports, and for those who make its inputs.
  virtual WeightFormat format() const { return WeightFormat::kStored; }

 private:
  Shape shape_;
  size_t bytes_;
};

/// What an adapter adds to a product, from a few numbers for each of its rows:
///   product[row, n] += scale * gain[n] * sum_r middle[row, r] up[n, r]
struct LowRankTerm {
  const Tensor* middle = nullptr;  ///< [images,...,R]: of the product's images from first_image on
  const PackedWeight* up = nullptr;  ///< packed from [N,R], not 8-bit; null: the identity, R = N
  float scale = 1;
  const Tensor* gain = nullptr;  ///< [N]; null: ones
  int64_t first_image = 0;
};

/// What happens to a product before it is stored, in this order. Each member may be null.
struct Epilogue {
  const Tensor* image_gain = nullptr;          ///< [B,N], multiplies the product
  std::span<const LowRankTerm> low_rank = {};  ///< added to it, one after the other
  const Tensor* bias = nullptr;                ///< [N]
  const Tensor* image_bias = nullptr;  ///< [B,N], added to every position of its image or sequence
  Activation activation = Activation::kNone;
  const Tensor* residual = nullptr;  ///< shape of the output
};

struct Conv2dGeometry {
  int stride = 1;
  int pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  /// The picture is read as if resized to this first, nearest neighbour (source index
  /// floor(i * H / height), as PyTorch "nearest"); 0: as it is. No resized copy is made.
  int64_t resize_height = 0, resize_width = 0;
};

struct AttentionOptions {
  int heads = 1;
  float scale = 1.0f;   ///< multiplies q k^T
  bool causal = false;  ///< position i sees positions 0..i
  bool int8 = false;    ///< products may round to 8 bits, where the backend gains by it
};

struct GroupNormOptions {
  int groups = 1;
  float eps = 1e-5f;
  Activation activation = Activation::kNone;
  const Tensor* moments = nullptr;                ///< see ops::group_moments; null: those of x
  WeightFormat consumer = WeightFormat::kStored;  ///< see Backend::input_type
};

struct WeightedTerm {
  float weight;
  const Tensor* tensor;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device device() const = 0;
  virtual Allocator& allocator() const = 0;

  /// Gives cached, unused memory back to the system; called between the stages of a request.
  virtual void trim() const {}
  /// Compute threads for calls from this thread; results do not depend on it.
  virtual void use_threads(int) const {}

  /// Host bytes to this device and back; shapes and dtypes equal.
  virtual void copy_from_host(const Tensor& host, Tensor& out) const = 0;
  virtual void copy_to_host(const Tensor& x, Tensor& host) const = 0;
  /// Any float dtype to any float dtype, round to nearest even; and f32 to an input_type.
  virtual void cast(const Tensor& x, Tensor& out) const = 0;

  /// weight [N,K] of a linear layer or [O,I,kh,kw] of a convolution, f32 | f16 | bf16, in host
  /// memory
  virtual std::unique_ptr<PackedWeight> pack(const Tensor& weight, WeightFormat format) const = 0;
  /// A weight of this backend's as tensors that a file can hold, and back; the bytes are shared.
  /// adopt() throws kUnsupported: a layout that this backend, or this processor, does not multiply;
  /// kCorruptFile: parts that do not suit the shape
  virtual PackedParts parts(const PackedWeight& weight) const;
  virtual std::unique_ptr<PackedWeight> adopt(const PackedParts& parts) const;
  /// In which type norms and geglu hand their results to products with weights of `format`: where
  /// those round their inputs, rounding them at once spares the way through memory in f32. The
  /// products' results are the same bits from either.
  virtual DType input_type(WeightFormat) const { return DType::kF32; }
  /// out[..., n] = epilogue(sum_k x[..., k] w[n, k]); x is f32 or of any input_type
  virtual void linear(const Tensor& x, const PackedWeight& weight, const Epilogue& epilogue,
                      Tensor& out) const = 0;
  /// Cross-correlation over [B,H,W,I], resized as the geometry says, zero padded; x as of linear.
  virtual void conv2d(const Tensor& x, const PackedWeight& weight, const Conv2dGeometry& geometry,
                      const Epilogue& epilogue, Tensor& out) const = 0;
  /// q [B,S,H*D], k and v [B,T,H*D] -> [B,S,H*D]
  virtual void attention(const Tensor& q, const Tensor& k, const Tensor& v,
                         const AttentionOptions& options, Tensor& out) const = 0;
  /// Over the last axis; weight, bias [C]. Here and in group_norm and geglu out is f32 or of an
  /// input_type
  virtual void layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                          Tensor& out) const = 0;
  /// x [B,...,C]: mean and variance over positions and C/groups channels -> [B,groups,2]
  virtual void group_moments(const Tensor& x, Tensor& out) const = 0;
  /// x [B,...,C], normalised with moments [B,groups,2], or its own when null; weight, bias [C]
  virtual void group_norm(const Tensor& x, const GroupNormOptions& options, const Tensor& weight,
                          const Tensor& bias, Tensor& out) const = 0;
  virtual void activation(const Tensor& x, Activation activation, Tensor& out) const = 0;
  /// x [..., 2C] -> x[..., :C] * gelu(x[..., C:])
  virtual void geglu(const Tensor& x, Tensor& out) const = 0;
  /// out = sum_i weight_i * tensor_i, all of one shape, summed in the order given
  virtual void weighted_sum(std::span<const WeightedTerm> terms, Tensor& out) const = 0;
  virtual void concat_last(const Tensor& a, const Tensor& b, Tensor& out) const = 0;
  /// table [V,E] f32 | f16 | bf16, ids [...] i32 in 0..V-1 -> [..., E] f32
  virtual void embedding(const Tensor& table, const Tensor& ids, Tensor& out) const = 0;
};

}  // namespace tintype
