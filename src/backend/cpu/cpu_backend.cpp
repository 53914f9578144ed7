#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/cpu/attention.h"
#include "backend/cpu/caching_allocator.h"
#include "backend/cpu/int8_attention.h"
#include "backend/cpu/int8_product.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/product.h"
#include "backend/cpu/rowwise.h"
#include "backend/cpu/thread_team.h"
#include "base/text.h"

namespace tintype {
namespace cpu {
namespace {

/// Weights in column panels; see product.h and int8_product.h.
class PanelWeight final : public PackedWeight {
 public:
  struct Content {
    WeightFormat format = WeightFormat::kStored;
    DType stored = DType::kF32;  ///< element type of kStored
    std::shared_ptr<std::byte[]> panels = nullptr;
    std::vector<float> scales = {};  ///< [columns] of kInt8
  };
  PanelWeight(const Shape& shape, size_t bytes, Content content)
      : PackedWeight(shape, bytes), content_(std::move(content)) {}
  const Content& content() const { return content_; }
  WeightFormat format() const override { return content_.format; }

 private:
  Content content_;
};

std::unique_ptr<PackedWeight> pack_stored(const Shape& shape, const PanelSource& source) {
  const size_t bytes =
      static_cast<size_t>(panels_size(source.taps * source.depth, source.columns)) *
      size_of(source.dtype);
  PanelWeight::Content content{.stored = source.dtype, .panels = allocate_weights(bytes)};
  pack_panels(source, content.panels.get());
  return std::make_unique<PanelWeight>(shape, bytes, std::move(content));
}

std::unique_ptr<PackedWeight> pack_int8(const Shape& shape, const PanelSource& source) {
  TT_REQUIRE(source.depth <= kMaxInt8Depth, "pack", "8-bit weights take at most ", kMaxInt8Depth,
             " inputs, got ", source.depth);
  const size_t bytes = int8_panels_bytes(source.taps, source.depth, source.columns);
  PanelWeight::Content content{.format = WeightFormat::kInt8,
                               .panels = allocate_weights(bytes),
                               .scales = std::vector<float>(static_cast<size_t>(source.columns))};
  pack_int8_panels(source, content.panels.get(), content.scales.data());
  return std::make_unique<PanelWeight>(shape, bytes + content.scales.size() * sizeof(float),
                                       std::move(content));
}

/// What a file calls the form of a weight. Panels of stored weights differ between instruction
/// sets, those of 8-bit ones do not.
std::string layout_of(const PanelWeight::Content& content) {
  return content.format == WeightFormat::kInt8
             ? cat("cpu int8 panels of ", kInt8PanelWidth)
             : cat("cpu ", content.stored, " panels of ", panel_columns());
}

/// Bytes that belong to something else, which lives as long as they are used.
class SharedStorage final : public Storage {
 public:
  SharedStorage(std::shared_ptr<std::byte[]> owner, size_t bytes)
      : Storage(owner.get(), bytes, Device::kCpu), owner_(std::move(owner)) {}

 private:
  std::shared_ptr<std::byte[]> owner_;
};

PackedParts parts_of(const PanelWeight& weight) {
  const PanelWeight::Content& content = weight.content();
  const bool int8 = content.format == WeightFormat::kInt8;
  const size_t bytes = weight.bytes() - content.scales.size() * sizeof(float);
  PackedParts result{.name = {},
                     .shape = weight.shape(),
                     .layout = layout_of(content),
                     .element = int8 ? std::string("int8") : cat(content.stored),
                     .parts = {Tensor(std::make_shared<SharedStorage>(content.panels, bytes), 0,
                                      DType::kU8, Shape{static_cast<int64_t>(bytes)})}};
  if (int8)
    result.parts.push_back(host_tensor(Shape{weight.shape()[0]}, std::span(content.scales)));
  return result;
}

/// The content that `layout` names; its form alone, without bytes. throws kUnsupported
PanelWeight::Content content_named(const PackedParts& parts) {
  std::string known;
  for (const PanelWeight::Content& content :
       {PanelWeight::Content{.format = WeightFormat::kInt8},
        PanelWeight::Content{.stored = DType::kF16}, PanelWeight::Content{.stored = DType::kBF16},
        PanelWeight::Content{.stored = DType::kF32}}) {
    if (layout_of(content) == parts.layout) return content;
    known += cat(known.empty() ? "" : ", ", layout_of(content));
  }
  fail(ErrorKind::kUnsupported, printable(parts.name, 120), "is packed as \"",
       printable(parts.layout, 80), "\", this machine (", instruction_set(), ") multiplies ", known,
       "; pack the model again for this kind of machine");
}

std::unique_ptr<PackedWeight> adopt_panels(const PackedParts& parts) {
  PanelWeight::Content content = content_named(parts);
  const bool int8 = content.format == WeightFormat::kInt8;
  const Shape& shape = parts.shape;
  const int64_t columns = shape[0], depth = shape[1];
  const int64_t taps = shape.rank() == 4 ? shape[2] * shape[3] : 1;
  // Far beyond any weight, and small enough that no size below overflows.
  constexpr int64_t kMaxElements = int64_t{1} << 48;
  const auto require = [&](bool good, const auto&... what) {
    if (!good) fail(ErrorKind::kCorruptFile, printable(parts.name, 120), what...);
  };
  require(
      columns <= kMaxElements && shape.numel() <= kMaxElements && (!int8 || depth <= kMaxInt8Depth),
      "must have a size that can be multiplied, got ", shape);
  const size_t bytes =
      int8 ? int8_panels_bytes(taps, depth, columns)
           : static_cast<size_t>(panels_size(taps * depth, columns)) * size_of(content.stored);
  require(parts.parts.size() == (int8 ? 2u : 1u) && parts.parts[0].dtype() == DType::kU8 &&
              parts.parts[0].nbytes() == bytes,
          "must have ", bytes, " bytes of panels for ", shape, ", the file has others");
  const Tensor& panels = parts.parts[0];
  if (int8) {
    const Tensor& scales = parts.parts[1];
    require(scales.dtype() == DType::kF32 && scales.shape() == Shape{columns}, "must have ",
            columns, " scales, got ", scales.dtype(), " ", scales.shape());
    content.scales.assign(scales.span<float>().begin(), scales.span<float>().end());
  }
  // The handle keeps the bytes, which nobody writes.
  const auto owner = std::make_shared<Tensor>(panels);
  content.panels = std::shared_ptr<std::byte[]>(owner, const_cast<std::byte*>(panels.bytes()));
  const size_t all = bytes + content.scales.size() * sizeof(float);
  return std::make_unique<PanelWeight>(shape, all, std::move(content));
}

const float* data_or_null(const Tensor* x) { return x ? x->data<float>() : nullptr; }

/// Of a product's terms, whose images have `rows_per_image` rows each.
std::vector<ProductLowRank> raw_low_rank(const Epilogue& e, int64_t rows_per_image) {
  std::vector<ProductLowRank> terms;
  for (const LowRankTerm& term : e.low_rank) {
    const int64_t first = term.first_image * rows_per_image;
    terms.push_back({.first_row = first,
                     .last_row = first + term.middle->dim(0) * rows_per_image,
                     .middle = term.middle->data<float>(),
                     .rank = term.middle->dim(-1),
                     .scale = term.scale,
                     .gain = data_or_null(term.gain)});
    if (!term.up) continue;
    const auto& up = static_cast<const PanelWeight&>(*term.up).content();
    terms.back().up = up.panels.get();
    terms.back().stored = up.stored;
  }
  return terms;
}

ProductEpilogue raw(const Epilogue& e, std::span<const ProductLowRank> low_rank,
                    int64_t rows_per_image) {
  return {.image_gain = data_or_null(e.image_gain),
          .low_rank = low_rank,
          .bias = data_or_null(e.bias),
          .image_bias = data_or_null(e.image_bias),
          .rows_per_image = std::max<int64_t>(rows_per_image, 1),
          .activation = e.activation,
          .residual = data_or_null(e.residual)};
}

RowOutput row_output(Tensor& out) {
  if (out.dtype() == DType::kInt8Rows) return {.int8_rows = out.mutable_bytes()};
  return {.floats = out.mutable_data<float>()};
}

PictureArgs picture_args(const Tensor& x) {
  const int64_t images = x.dim(0), channels = x.dim(-1);
  return {.x = x.data<float>(),
          .images = images,
          .positions = x.numel() / std::max<int64_t>(images * channels, 1),
          .channels = channels};
}

void copy_bytes(const Tensor& from, Tensor& to) {
  if (from.nbytes()) std::memcpy(to.mutable_bytes(), from.bytes(), from.nbytes());
}

/// Runs body(row) over `rows` rows of `floats_per_row`, several rows a task.
template <typename Body>
void for_rows(int64_t rows, int64_t floats_per_row, const Body& body) {
  const int64_t rows_per_task =
      std::max<int64_t>((1 << 15) / std::max<int64_t>(floats_per_row, 1), 1);
  parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](int64_t task, int) {
    const int64_t last = std::min((task + 1) * rows_per_task, rows);
    for (int64_t row = task * rows_per_task; row < last; ++row) body(row);
  });
}

class CpuBackend final : public Backend {
 public:
  CpuBackend() { choose_isa(); }
  Device device() const override { return Device::kCpu; }
  Allocator& allocator() const override { return allocator_; }
  void trim() const override { allocator_.trim(); }
  void use_threads(int count) const override { set_thread_count(count); }

  void copy_from_host(const Tensor& host, Tensor& out) const override { copy_bytes(host, out); }
  void copy_to_host(const Tensor& x, Tensor& host) const override { copy_bytes(x, host); }
  void cast(const Tensor& x, Tensor& out) const override {
    if (out.dtype() == DType::kInt8Rows) {
      const int64_t channels = x.dim(-1);
      if (channels)
        quantize_rows(x.data<float>(), x.numel() / channels, channels, out.mutable_bytes());
      return;
    }
    cpu::cast(x.bytes(), x.dtype(), x.numel(), out.dtype(), out.mutable_bytes());
  }

  std::unique_ptr<PackedWeight> pack(const Tensor& weight, WeightFormat format) const override {
    const PanelSource source{.data = weight.bytes(),
                             .dtype = weight.dtype(),
                             .taps = weight.rank() == 4 ? weight.dim(2) * weight.dim(3) : 1,
                             .depth = weight.dim(1),
                             .columns = weight.dim(0)};
    return format == WeightFormat::kInt8 ? pack_int8(weight.shape(), source)
                                         : pack_stored(weight.shape(), source);
  }

  PackedParts parts(const PackedWeight& weight) const override {
    return parts_of(static_cast<const PanelWeight&>(weight));
  }
  std::unique_ptr<PackedWeight> adopt(const PackedParts& parts) const override {
    return adopt_panels(parts);
  }

  DType input_type(WeightFormat format) const override {
    return format == WeightFormat::kInt8 ? DType::kInt8Rows : DType::kF32;
  }
  void linear(const Tensor& x, const PackedWeight& weight, const Epilogue& epilogue,
              Tensor& out) const override {
    if (out.numel() == 0) return;
    const int64_t rows = out.numel() / weight.shape()[0], rows_per_image = rows / x.dim(0);
    const std::vector<ProductLowRank> low_rank = raw_low_rank(epilogue, rows_per_image);
    multiply(x,
             {.width = rows, .channels = weight.shape()[1], .seen_width = rows, .out_width = rows},
             weight, raw(epilogue, low_rank, rows_per_image), out);
  }

  void conv2d(const Tensor& x, const PackedWeight& weight, const Conv2dGeometry& g,
              const Epilogue& epilogue, Tensor& out) const override {
    const int64_t rows_per_image = out.dim(1) * out.dim(2);
    const std::vector<ProductLowRank> low_rank = raw_low_rank(epilogue, rows_per_image);
    multiply(x,
             {.images = x.dim(0),
              .height = x.dim(1),
              .width = x.dim(2),
              .channels = x.dim(3),
              .seen_height = g.resize_height ? g.resize_height : x.dim(1),
              .seen_width = g.resize_width ? g.resize_width : x.dim(2),
              .out_height = out.dim(1),
              .out_width = out.dim(2),
              .kernel_h = weight.shape()[2],
              .kernel_w = weight.shape()[3],
              .stride = g.stride,
              .pad_top = g.pad_top,
              .pad_left = g.pad_left},
             weight, raw(epilogue, low_rank, rows_per_image), out);
  }

  void attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                 Tensor& out) const override {
    const AttentionArgs args{.images = q.dim(0),
                             .queries = q.dim(1),
                             .keys = k.dim(1),
                             .heads = options.heads,
                             .head_width = q.dim(2) / options.heads,
                             .scale = options.scale,
                             .causal = options.causal,
                             .q = q.data<float>(),
                             .k = k.data<float>(),
                             .v = v.data<float>(),
                             .out = out.mutable_data<float>()};
    if (options.int8 && !options.causal && has_int8_attention())
      int8_attention(args, allocator_);
    else
      cpu::attention(args, allocator_);
  }

  void layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                  Tensor& out) const override {
    cpu::layer_norm({.x = x.data<float>(),
                     .rows = x.numel() / x.dim(-1),
                     .channels = x.dim(-1),
                     .weight = weight.data<float>(),
                     .bias = bias.data<float>(),
                     .eps = eps,
                     .out = row_output(out)});
  }
  void group_moments(const Tensor& x, Tensor& out) const override {
    cpu::group_moments(picture_args(x), static_cast<int>(out.dim(1)), out.mutable_data<float>());
  }
  void group_norm(const Tensor& x, const GroupNormOptions& options, const Tensor& weight,
                  const Tensor& bias, Tensor& out) const override {
    cpu::group_norm(picture_args(x), {.groups = options.groups,
                                      .weight = weight.data<float>(),
                                      .bias = bias.data<float>(),
                                      .eps = options.eps,
                                      .activation = options.activation,
                                      .moments = data_or_null(options.moments),
                                      .out = row_output(out)});
  }

  void activation(const Tensor& x, Activation kind, Tensor& out) const override {
    cpu::activate(x.data<float>(), x.numel(), kind, out.mutable_data<float>());
  }
  void geglu(const Tensor& x, Tensor& out) const override {
    const int64_t columns = out.dim(-1);
    cpu::geglu(x.data<float>(), columns ? out.numel() / columns : 0, columns, row_output(out));
  }
  void weighted_sum(std::span<const WeightedTerm> terms, Tensor& out) const override {
    std::vector<SumTerm> raw_terms;
    for (const WeightedTerm& term : terms)
      raw_terms.push_back({term.weight, term.tensor->data<float>()});
    cpu::weighted_sum(raw_terms, out.numel(), out.mutable_data<float>());
  }

  void concat_last(const Tensor& a, const Tensor& b, Tensor& out) const override {
    const int64_t left = a.dim(-1), right = b.dim(-1), width = left + right;
    if (out.numel() == 0) return;
    const float *from_a = a.data<float>(), *from_b = b.data<float>();
    float* to = out.mutable_data<float>();
    for_rows(out.numel() / width, width, [&](int64_t row) {
      std::copy_n(from_a + row * left, left, to + row * width);
      std::copy_n(from_b + row * right, right, to + row * width + left);
    });
  }
  void embedding(const Tensor& table, const Tensor& ids, Tensor& out) const override {
    const int64_t width = table.dim(1),
                  bytes = width * static_cast<int64_t>(size_of(table.dtype()));
    const int32_t* id = ids.data<int32_t>();
    for (int64_t i = 0; i < ids.numel(); ++i)
      cpu::cast(table.bytes() + id[i] * bytes, table.dtype(), width, DType::kF32,
                reinterpret_cast<std::byte*>(out.mutable_data<float>() + i * width));
  }

 private:
  void multiply(const Tensor& x, const RowGeometry& rows, const PackedWeight& weight,
                ProductEpilogue epilogue, Tensor& out) const {
    const PanelWeight::Content& panels = static_cast<const PanelWeight&>(weight).content();
    if (panels.format == WeightFormat::kStored) {
      // Rows that were rounded for another product; what they lost is lost.
      const Tensor widened = x.dtype() == DType::kInt8Rows ? widen(x) : x;
      product({.rows = rows,
               .x = widened.data<float>(),
               .panels = panels.panels.get(),
               .stored = panels.stored,
               .columns = weight.shape()[0],
               .epilogue = epilogue,
               .out = out.mutable_data<float>()});
      return;
    }
    Tensor rounded = x;
    if (x.dtype() != DType::kInt8Rows) {
      rounded = empty(allocator_, x.shape(), DType::kInt8Rows);
      quantize_rows(x.data<float>(), rows.pixels(), rows.channels, rounded.mutable_bytes());
    }
    epilogue.column_scale = panels.scales.data();
    int8_product({.rows = rows,
                  .x = rounded.bytes(),
                  .panels = panels.panels.get(),
                  .columns = weight.shape()[0],
                  .epilogue = epilogue,
                  .out = out.mutable_data<float>()});
  }

  Tensor widen(const Tensor& x) const {
    Tensor out = empty(allocator_, x.shape(), DType::kF32);
    widen_rows(x.bytes(), x.numel() / x.dim(-1), x.dim(-1), out.mutable_data<float>());
    return out;
  }

  mutable CachingAllocator allocator_;
};

}  // namespace
}  // namespace cpu

const Backend& cpu_backend() {
  static const cpu::CpuBackend backend;
  return backend;
}

}  // namespace tintype
