#include "ops/ops.h"

#include "ops/checks.h"
#include "ops/observer.h"

namespace tintype::ops {
namespace {

/// A term's middle must be the product's rows of some of its images.
void check_low_rank(const Tensor& x, const LowRankTerm& term, const Shape& out, const char* op) {
  TT_REQUIRE(term.middle, op, "a low-rank term must have a middle, got none");
  require_f32(*term.middle, op, "middle");
  const Shape& given = term.middle->shape();
  TT_REQUIRE(given.rank() == out.rank(), op, "middle must have ", out.rank(), " axes, got ", given);
  const Shape wanted = out.with(0, given[0]).with(-1, term.up ? given[-1] : out[-1]);
  require_operand(x, *term.middle, wanted, op, "middle");
  TT_REQUIRE(term.first_image >= 0 && term.first_image <= out[0] - given[0], op, "images ",
             term.first_image, " to ", term.first_image + given[0], " of a middle must lie in 0..",
             out[0]);
  TT_REQUIRE(!term.up || (term.up->shape() == Shape{out[-1], given[-1]} &&
                          term.up->format() == WeightFormat::kStored),
             op, "up must be packed from ", Shape{out[-1], given[-1]}, " and not in 8 bits");
  if (term.gain) require_operand(x, *term.gain, Shape{out[-1]}, op, "gain");
}

void check_epilogue(const Tensor& x, const Epilogue& epilogue, const Shape& out, const char* op) {
  if (epilogue.image_gain)
    require_operand(x, *epilogue.image_gain, Shape{out[0], out[-1]}, op, "image_gain");
  for (const LowRankTerm& term : epilogue.low_rank) check_low_rank(x, term, out, op);
  if (epilogue.bias) require_operand(x, *epilogue.bias, Shape{out[-1]}, op, "bias");
  if (epilogue.image_bias)
    require_operand(x, *epilogue.image_bias, Shape{out[0], out[-1]}, op, "image_bias");
  if (epilogue.residual) require_operand(x, *epilogue.residual, out, op, "residual");
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

}  // namespace

Tensor empty(const Shape& shape, DType dtype, Device device) {
  return tintype::empty(backend_for(device).allocator(), shape, dtype);
}

Tensor to_device(const Tensor& host, Device device) {
  require_defined(host, "to_device", "host");
  if (host.device() == device) return host;
  Tensor out = empty(host.shape(), host.dtype(), device);
  backend_for(device).copy_from_host(host, out);
  return out;
}

Tensor to_host(const Tensor& x) {
  require_defined(x, "to_host", "x");
  if (x.device() == Device::kCpu) return x;
  Tensor out = empty_host(x.shape(), x.dtype());
  backend_for(x.device()).copy_to_host(x, out);
  return out;
}

Tensor cast(const Tensor& x, DType dtype) {
  require_defined(x, "cast", "x");
  TT_REQUIRE(is_float(x.dtype()) && is_float(dtype), "cast",
             "converts between f32, f16 and bf16, got ", x.dtype(), " to ", dtype);
  if (x.dtype() == dtype) return x;
  Tensor out = empty(x.shape(), dtype, x.device());
  const OpTimer timer([&] { return describe_plain("cast", {&x}, out); });
  backend_for(x.device()).cast(x, out);
  return out;
}

Tensor as_input(const Tensor& x, WeightFormat consumer) {
  require_product_input(x, "as_input", "x");
  if (x.dtype() != DType::kF32 || backend_for(x.device()).input_type(consumer) == DType::kF32)
    return x;
  Tensor out = empty_input(x, x.shape(), consumer);
  const OpTimer timer([&] { return describe_plain("cast", {&x}, out); });
  backend_for(x.device()).cast(x, out);
  return out;
}

std::unique_ptr<PackedWeight> pack(const Tensor& weight, Device device, WeightFormat format) {
  require_defined(weight, "pack", "weight");
  TT_REQUIRE(weight.rank() == 2 || weight.rank() == 4, "pack",
             "weight must be [N,K] or [O,I,kh,kw], got ", weight.shape());
  return backend_for(device).pack(weight, format);
}

PackedParts packed_parts(const PackedWeight& weight, Device device) {
  return backend_for(device).parts(weight);
}

std::unique_ptr<PackedWeight> adopt(const PackedParts& parts, Device device) {
  TT_REQUIRE(parts.shape.rank() == 2 || parts.shape.rank() == 4, "adopt",
             "weight must be [N,K] or [O,I,kh,kw], got ", parts.shape);
  for (const Tensor& part : parts.parts) require_defined(part, "adopt", "every part");
  return backend_for(device).adopt(parts);
}

Tensor linear(const Tensor& x, const PackedWeight& weight, const Epilogue& epilogue) {
  require_product_input(x, "linear", "x");
  const Shape& w = weight.shape();
  TT_REQUIRE(w.rank() == 2, "linear", "weight must be packed from [N,K], got ", w);
  TT_REQUIRE(x.rank() >= 2 && x.dim(-1) == w[1], "linear", "x must be [...,", w[1], "], got ",
             x.shape());
  Tensor out = empty_like(x, x.shape().with(-1, w[0]));
  check_epilogue(x, epilogue, out.shape(), "linear");
  const OpTimer timer([&] { return describe_product(x, weight, {}, epilogue, out); });
  backend_for(x.device()).linear(x, weight, epilogue, out);
  return out;
}

Tensor conv2d(const Tensor& x, const PackedWeight& weight, const Conv2dGeometry& g,
              const Epilogue& epilogue) {
  require_product_input(x, "conv2d", "x");
  const Shape& w = weight.shape();
  TT_REQUIRE(w.rank() == 4, "conv2d", "weight must be packed from [O,I,kh,kw], got ", w);
  TT_REQUIRE(x.rank() == 4 && x.dim(3) == w[1], "conv2d", "x must be [B,H,W,", w[1], "], got ",
             x.shape());
  TT_REQUIRE(g.stride >= 1, "conv2d", "stride must be at least 1, got ", g.stride);
  TT_REQUIRE(g.pad_top >= 0 && g.pad_left >= 0 && g.pad_bottom >= 0 && g.pad_right >= 0, "conv2d",
             "padding must not be negative");
  TT_REQUIRE((g.resize_height > 0) == (g.resize_width > 0) && g.resize_height >= 0 &&
                 (!g.resize_height || (x.dim(1) > 0 && x.dim(2) > 0)),
             "conv2d", "a resize needs a height, a width and pixels to resize, got ", x.shape(),
             " to ", g.resize_height, "x", g.resize_width);
  const int64_t height = (g.resize_height ? g.resize_height : x.dim(1)) + g.pad_top + g.pad_bottom,
                width = (g.resize_width ? g.resize_width : x.dim(2)) + g.pad_left + g.pad_right;
  TT_REQUIRE(height >= w[2] && width >= w[3], "conv2d", "the padded picture ", height, "x", width,
             " must hold the ", w[2], "x", w[3], " filter");
  Tensor out = empty_like(
      x, Shape{x.dim(0), (height - w[2]) / g.stride + 1, (width - w[3]) / g.stride + 1, w[0]});
  check_epilogue(x, epilogue, out.shape(), "conv2d");
  const OpTimer timer([&] { return describe_product(x, weight, g, epilogue, out); });
  backend_for(x.device()).conv2d(x, weight, g, epilogue, out);
  return out;
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options) {
  require_f32(q, "attention", "q");
  TT_REQUIRE(q.rank() == 3, "attention", "q must be [B,S,H*D], got ", q.shape());
  TT_REQUIRE(options.heads >= 1 && q.dim(2) % options.heads == 0, "attention",
             "the width must be a multiple of the head count ", options.heads, ", got ", q.dim(2));
  TT_REQUIRE(k.defined() && k.rank() == 3 && k.dim(1) >= 1, "attention",
             "k must be [B,T,H*D] with T >= 1");
  const Shape context{q.dim(0), k.dim(1), q.dim(2)};
  require_operand(q, k, context, "attention", "k");
  require_operand(q, v, context, "attention", "v");
  TT_REQUIRE(!options.causal || q.dim(1) <= k.dim(1), "attention",
             "causal attention needs S <= T, got S=", q.dim(1), " and T=", k.dim(1));
  Tensor out = empty_like(q, q.shape());
  const OpTimer timer([&] { return describe_attention(q, k, v, options); });
  backend_for(q.device()).attention(q, k, v, options, out);
  return out;
}

Tensor weighted_sum(std::initializer_list<WeightedTerm> terms) {
  return weighted_sum(std::span(terms.begin(), terms.size()));
}

Tensor weighted_sum(std::span<const WeightedTerm> terms) {
  TT_REQUIRE(!terms.empty(), "weighted_sum", "needs at least one term, got none");
  const Tensor& first = *terms[0].tensor;
  require_f32(first, "weighted_sum", "first term");
  for (const WeightedTerm& term : terms)
    require_operand(first, *term.tensor, first.shape(), "weighted_sum", "every term");
  Tensor out = empty_like(first, first.shape());
  const OpTimer timer([&] {
    OpCall call = describe_plain("weighted_sum", {}, out);
    call.bytes += terms.size() * first.nbytes();
    return call;
  });
  backend_for(first.device()).weighted_sum(terms, out);
  return out;
}

Tensor concat_last(const Tensor& a, const Tensor& b) {
  require_f32(a, "concat_last", "a");
  TT_REQUIRE(a.rank() >= 1, "concat_last", "a must have an axis to join along");
  require_defined(b, "concat_last", "b");
  TT_REQUIRE(b.rank() == a.rank(), "concat_last", "ranks must agree, got ", a.shape(), " and ",
             b.shape());
  require_operand(a, b, a.shape().with(-1, b.dim(-1)), "concat_last", "b");
  Tensor out = empty_like(a, a.shape().with(-1, a.dim(-1) + b.dim(-1)));
  const OpTimer timer([&] { return describe_plain("concat", {&a, &b}, out); });
  backend_for(a.device()).concat_last(a, b, out);
  return out;
}

Tensor concat_first(const Tensor& a, const Tensor& b) {
  require_f32(a, "concat_first", "a");
  require_defined(b, "concat_first", "b");
  TT_REQUIRE(a.rank() >= 1 && b.rank() == a.rank(), "concat_first", "ranks must agree, got ",
             a.shape(), " and ", b.shape());
  require_operand(a, b, a.shape().with(0, b.dim(0)), "concat_first", "b");
  // Rows of the first axis lie one after the other, so this is the last-axis join of flat rows.
  const Tensor joined = concat_last(a.reshape(Shape{1, a.numel()}), b.reshape(Shape{1, b.numel()}));
  return joined.reshape(a.shape().with(0, a.dim(0) + b.dim(0)));
}

Tensor concat_first(std::span<const Tensor> parts) {
  TT_REQUIRE(!parts.empty(), "concat_first", "at least one tensor expected, got none");
  if (parts.size() == 1) return parts[0];
  const size_t half = parts.size() / 2;
  return concat_first(concat_first(parts.first(half)), concat_first(parts.subspan(half)));
}

Tensor repeat_first(const Tensor& x, int64_t rows) {
  require_defined(x, "repeat_first", "x");
  TT_REQUIRE(x.rank() >= 1 && x.dim(0) >= 1 && rows % x.dim(0) == 0, "repeat_first",
             "rows must be a multiple of those of x, got ", rows, " and ", x.shape());
  const std::vector<Tensor> copies(static_cast<size_t>(rows / x.dim(0)), x);
  return concat_first(copies);
}

Tensor embedding(const Tensor& table, const Tensor& ids) {
  require_defined(table, "embedding", "table");
  TT_REQUIRE(is_float(table.dtype()), "embedding", "table must be f32, f16 or bf16, got ",
             table.dtype());
  TT_REQUIRE(table.rank() == 2, "embedding", "table must be [V,E], got ", table.shape());
  require_defined(ids, "embedding", "ids");
  TT_REQUIRE(ids.dtype() == DType::kI32, "embedding", "ids must be i32, got ", ids.dtype());
  TT_REQUIRE(ids.rank() < Shape::kMaxRank, "embedding", "ids have too many axes: ", ids.shape());
  const Tensor host_ids = to_host(ids);
  for (const int32_t id : host_ids.span<int32_t>())
    TT_REQUIRE(id >= 0 && id < table.dim(0), "embedding", "ids must lie in 0..", table.dim(0) - 1,
               ", got ", id, "; the tokenizer may belong to another model");
  std::vector<int64_t> dims(ids.shape().dims().begin(), ids.shape().dims().end());
  dims.push_back(table.dim(1));
  Tensor out = empty(Shape(dims), DType::kF32, table.device());
  const OpTimer timer([&] {
    OpCall call = describe_plain("embedding", {&ids}, out);
    call.bytes += out.nbytes();  // of the table only the rows that are read
    return call;
  });
  backend_for(table.device()).embedding(table, to_device(host_ids, table.device()), out);
  return out;
}

}  // namespace tintype::ops
