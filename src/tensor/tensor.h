/// Tensor: a cheap handle (storage, dtype, shape) that ops take and return. Data only: no maths, no
/// device code. Handles are values; the bytes are shared between copies of a handle.
/// Thread-safety: handles are not guarded; concurrent reads of the same bytes are fine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace tintype {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kI8,
  kU8,
  kI32,
  kInt8Rows  ///< floats rounded to 8 bits row by row, on the way to a product; see int8_rows.h
};

/// Bytes per element; 0 for kInt8Rows, which have rows.
size_t size_of(DType dtype);
std::string_view to_string(DType dtype);
std::ostream& operator<<(std::ostream& out, DType dtype);

/// How a model's weight is kept and multiplied.
enum class WeightFormat : uint8_t {
  kStored,  ///< in its file's element type, with f32 arithmetic
  /// In 8 bits with a scale for each output channel; inputs are rounded to 8 bits when multiplied,
  /// with a scale and an offset for each token or pixel.
  kInt8
};
std::string_view to_string(WeightFormat format);
std::ostream& operator<<(std::ostream& out, WeightFormat format);

/// Which backend owns a tensor's memory and runs its ops. kMeta tensors have a shape and no bytes.
enum class Device : uint8_t { kCpu, kReference, kMeta };
std::string_view to_string(Device device);
std::ostream& operator<<(std::ostream& out, Device device);

/// Up to six extents, each >= 0; the product fits in int64 (checked on construction).
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t numel() const;
  /// Extent of axis `i`; negative counts from the end.
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i < 0 ? i + rank_ : i)]; }
  /// Same shape with axis `i` (negative counts from the end) replaced.
  Shape with(int i, int64_t extent) const;
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& other) const = default;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};
std::ostream& operator<<(std::ostream& out, const Shape& shape);

/// Bytes of a contiguous tensor.
size_t bytes_of(DType dtype, const Shape& shape);

/// A block of bytes with one owner; its destructor gives the bytes back to wherever they came from
/// (allocator, mapped file). Must outlive every handle: handles share it.
class Storage {
 public:
  Storage(std::byte* data, size_t bytes, Device device)
      : data_(data), bytes_(bytes), device_(device) {}
  virtual ~Storage() = default;
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  std::byte* data_;
  size_t bytes_;
  Device device_;
};

/// C++ type of each dtype as it lies in memory. f16 and bf16 have no arithmetic here.
template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<int8_t> {
  static constexpr DType value = DType::kI8;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kI32;
};

/// Always contiguous, row-major. Views are `reshape` and `slice` along the first axis, which keep
/// that true; channels-last activations need no other view (see ARCHITECTURE.md).
class Tensor {
 public:
  Tensor() = default;  ///< undefined: a weight that a faulty file lacks (see WeightScope)
  Tensor(std::shared_ptr<const Storage> storage, size_t offset_bytes, DType dtype,
         const Shape& shape);

  bool defined() const { return storage_ != nullptr; }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_->device(); }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t numel() const { return shape_.numel(); }
  size_t nbytes() const { return bytes_of(dtype_, shape_); }

  /// Same bytes, other shape. throws kInvalidArgument when the element counts differ, and for
  /// kInt8Rows the last extents too
  Tensor reshape(const Shape& shape) const;
  /// Rows [begin, end) of the first axis; shares the bytes.
  Tensor slice(int64_t begin, int64_t end) const;

  const std::byte* bytes() const { return storage_->data() + offset_; }
  std::byte* mutable_bytes() { return storage_->data() + offset_; }
  /// Elements in host memory. throws kInternal when T is not this tensor's dtype
  template <typename T>
  const T* data() const {
    require_dtype(DTypeOf<T>::value);
    return reinterpret_cast<const T*>(bytes());
  }
  template <typename T>
  T* mutable_data() {
    require_dtype(DTypeOf<T>::value);
    return reinterpret_cast<T*>(mutable_bytes());
  }
  template <typename T>
  std::span<const T> span() const {
    return {data<T>(), static_cast<size_t>(numel())};
  }
  template <typename T>
  std::span<T> mutable_span() {
    return {mutable_data<T>(), static_cast<size_t>(numel())};
  }

 private:
  void require_dtype(DType wanted) const;

  std::shared_ptr<const Storage> storage_;
  size_t offset_ = 0;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

}  // namespace tintype
