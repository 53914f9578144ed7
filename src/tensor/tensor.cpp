#include "tensor/tensor.h"

#include <limits>

#include "tensor/int8_rows.h"

namespace tintype {

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kF16:
      return 2;
    case DType::kBF16:
      return 2;
    case DType::kI8:
      return 1;
    case DType::kU8:
      return 1;
    case DType::kI32:
      return 4;
    case DType::kInt8Rows:
      return 0;
  }
  return 0;
}

std::string_view to_string(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
    case DType::kI8:
      return "i8";
    case DType::kU8:
      return "u8";
    case DType::kI32:
      return "i32";
    case DType::kInt8Rows:
      return "int8 rows";
  }
  return "?";
}

std::string_view to_string(WeightFormat format) {
  switch (format) {
    case WeightFormat::kStored:
      return "stored";
    case WeightFormat::kInt8:
      return "int8";
  }
  return "?";
}

std::ostream& operator<<(std::ostream& out, WeightFormat format) {
  return out << to_string(format);
}

std::string_view to_string(Device device) {
  switch (device) {
    case Device::kCpu:
      return "cpu";
    case Device::kReference:
      return "reference";
    case Device::kMeta:
      return "meta";
  }
  return "?";
}

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << to_string(dtype); }
std::ostream& operator<<(std::ostream& out, Device device) { return out << to_string(device); }

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int i = 0; i < shape.rank(); ++i) out << (i ? "," : "") << shape[i];
  return out << ']';
}

Shape::Shape(std::span<const int64_t> dims) {
  TT_REQUIRE(dims.size() <= kMaxRank, "shape", "rank must be at most ", kMaxRank, ", got ",
             dims.size());
  // The product of the non-zero extents is bounded too, so that reshaping an empty tensor cannot
  // meet an overflow later.
  int64_t product = 1;
  for (const int64_t extent : dims) {
    TT_REQUIRE(extent >= 0, "shape", "extents must not be negative, got ", extent);
    if (extent == 0) continue;
    TT_REQUIRE(product <= std::numeric_limits<int64_t>::max() / 8 / extent, "shape",
               "the number of elements must fit in 60 bits");
    product *= extent;
  }
  for (const int64_t extent : dims) dims_[static_cast<size_t>(rank_++)] = extent;
}

int64_t Shape::numel() const {
  int64_t product = 1;
  for (const int64_t extent : dims()) product *= extent;
  return product;
}

Shape Shape::with(int i, int64_t extent) const {
  Shape result = *this;
  result.dims_[static_cast<size_t>(i < 0 ? i + rank_ : i)] = extent;
  return Shape(result.dims());
}

size_t bytes_of(DType dtype, const Shape& shape) {
  if (dtype != DType::kInt8Rows) return static_cast<size_t>(shape.numel()) * size_of(dtype);
  if (shape.numel() == 0) return 0;
  return static_cast<size_t>(shape.numel() / shape[-1] * int8_row_bytes(shape[-1]));
}

Tensor::Tensor(std::shared_ptr<const Storage> storage, size_t offset_bytes, DType dtype,
               const Shape& shape)
    : storage_(std::move(storage)), offset_(offset_bytes), dtype_(dtype), shape_(shape) {
  const size_t available = storage_->bytes();
  TT_REQUIRE(offset_ <= available && nbytes() <= available - offset_, "tensor", "shape ", shape,
             " of ", dtype, " needs ", nbytes(), " bytes at offset ", offset_, ", the storage has ",
             available);
}

Tensor Tensor::reshape(const Shape& shape) const {
  TT_REQUIRE(shape.numel() == numel(), "reshape", "element count must stay ", numel(), " (", shape_,
             "), got ", shape);
  TT_REQUIRE(dtype_ != DType::kInt8Rows || shape[-1] == shape_[-1], "reshape",
             "rows must stay whole, got ", shape_, " to ", shape);
  Tensor result = *this;
  result.shape_ = shape;
  return result;
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  TT_REQUIRE(rank() > 0 && begin >= 0 && begin <= end && end <= dim(0), "slice", "rows [", begin,
             ",", end, ") must lie within ", shape_);
  Tensor result = *this;
  result.shape_ = shape_.with(0, end - begin);
  result.offset_ += bytes_of(dtype_, shape_.with(0, begin));
  return result;
}

void Tensor::require_dtype(DType wanted) const {
  if (dtype_ != wanted) [[unlikely]]
    fail(ErrorKind::kInternal, "tensor", "accessed as ", wanted, ", holds ", dtype_);
}

}  // namespace tintype
