/// Plain values to bytes and back, for messages between processes and fields of the store: little
/// endian, lengths before texts. The reader checks every length against what is left. Values; each
/// for one thread.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"
#include "serving/job_id.h"

namespace tintype {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are");

class ByteWriter {
 public:
  void u8(uint8_t value) { raw(&value, 1); }
  void u32(uint32_t value) { raw(&value, 4); }
  void u64(uint64_t value) { raw(&value, 8); }
  void i32(int32_t value) { raw(&value, 4); }
  void f64(double value) { raw(&value, 8); }
  void text(std::string_view value) {
    if (value.size() > UINT32_MAX) fail(ErrorKind::kInvalidArgument, "message", "text above 4 GiB");
    u32(static_cast<uint32_t>(value.size()));
    raw(value.data(), value.size());
  }
  void id(const JobId& value) { raw(value.bytes().data(), value.bytes().size()); }

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }
  void reserve(size_t size) { bytes_.reserve(size); }
  /// Writes a number over four bytes that are there already.
  void patch_u32(size_t at, uint32_t value) { std::memcpy(bytes_.data() + at, &value, 4); }

 private:
  void raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }

  std::string bytes_;
};

/// Every member throws kCorruptFile where the bytes end too soon or a value is out of its range.
class ByteReader {
 public:
  ByteReader(std::string_view bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  uint8_t u8() { return number<uint8_t>(); }
  uint32_t u32() { return number<uint32_t>(); }
  uint64_t u64() { return number<uint64_t>(); }
  int32_t i32(int32_t low, int32_t high) {
    const auto value = number<int32_t>();
    if (value < low || value > high) {
      broken(cat("a number must be ", low, "..", high, ", got ", value));
    }
    return value;
  }
  double f64() {
    const auto value = number<double>();
    if (!std::isfinite(value)) broken("a number is not finite");
    return value;
  }
  bool flag() {
    const uint8_t value = u8();
    if (value > 1) broken(cat("a flag must be 0 or 1, got ", int{value}));
    return value == 1;
  }
  std::string_view text(size_t max_bytes) {
    const uint32_t size = u32();
    if (size > max_bytes) broken(cat("a text may have ", max_bytes, " bytes, got ", size));
    return take(size);
  }
  /// How many elements follow, each of at least `element_bytes`.
  uint32_t count(uint32_t max, size_t element_bytes) {
    const uint32_t value = u32();
    if (value > max || value * uint64_t{element_bytes} > bytes_.size()) {
      broken(cat("a list may have ", max, " elements and must be there, got ", value));
    }
    return value;
  }
  JobId id() {
    std::array<uint8_t, 16> out;
    const std::string_view part = take(out.size());
    std::memcpy(out.data(), part.data(), out.size());
    return JobId(out);
  }
  void end() const {
    if (!bytes_.empty()) broken(cat(bytes_.size(), " bytes too many"));
  }
  [[noreturn]] void broken(std::string_view what) const {
    fail(ErrorKind::kCorruptFile, where_, what);
  }

 private:
  std::string_view take(size_t size) {
    if (size > bytes_.size()) {
      broken(cat("needs ", size, " more bytes, has ", bytes_.size()));
    }
    const std::string_view part = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return part;
  }
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

  std::string_view bytes_, where_;
};

}  // namespace tintype
