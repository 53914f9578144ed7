#include "ops/observer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tintype::ops {
namespace {

thread_local OpObserver* observer_of_this_thread = nullptr;

size_t bytes_of(const Tensor* x) { return x ? x->nbytes() : 0; }

/// "2x64x64x320"
std::string extents(const Shape& shape) {
  std::string text;
  for (const int64_t extent : shape.dims()) text += cat(text.empty() ? "" : "x", extent);
  return text;
}

}  // namespace

ObserveOps::ObserveOps(OpObserver& observer)
    : previous_(std::exchange(observer_of_this_thread, &observer)) {}

ObserveOps::~ObserveOps() { observer_of_this_thread = previous_; }

OpObserver* current_observer() noexcept { return observer_of_this_thread; }

OpCall describe_product(const Tensor& x, const PackedWeight& weight, const Conv2dGeometry& g,
                        const Epilogue& e, const Tensor& out) {
  const Shape& w = weight.shape();
  OpCall call{.op = "linear",
              .shape = cat(extents(x.shape()), " -> ", w[0]),
              .arithmetic = weight.format() == WeightFormat::kInt8 ? "int8" : "f32",
              // Taps that meet only padding are counted, as everyone does.
              .operations = 2 * out.numel() * (w.numel() / std::max<int64_t>(w[0], 1)),
              .bytes = x.nbytes() + weight.bytes() + out.nbytes() + bytes_of(e.bias) +
                       bytes_of(e.image_bias) + bytes_of(e.residual)};
  if (w.rank() == 4) {
    call.op = cat("conv2d ", w[2], "x", w[3]);
    if (g.stride > 1) call.shape += cat(", stride ", g.stride);
    if (g.resize_height) call.shape += cat(", from ", g.resize_height, "x", g.resize_width);
  }
  return call;
}

OpCall describe_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                          const AttentionOptions& options) {
  const int heads = options.heads;
  const int64_t queries = q.dim(1), keys = k.dim(1), width = q.dim(2) / heads;
  return {.op = cat("attention ", queries, "x", keys, "x", width),
          .shape = cat(q.dim(0), " rows, ", heads, " heads"),
          .arithmetic = options.int8 ? "int8" : "f32",
          .operations = 4 * q.numel() * keys,
          .bytes = 2 * q.nbytes() + k.nbytes() + v.nbytes()};
}

OpCall describe_plain(const char* op, std::initializer_list<const Tensor*> inputs,
                      const Tensor& out) {
  OpCall call{.op = op, .shape = extents(out.shape()), .arithmetic = "", .bytes = out.nbytes()};
  for (const Tensor* input : inputs) call.bytes += bytes_of(input);
  return call;
}

}  // namespace tintype::ops
