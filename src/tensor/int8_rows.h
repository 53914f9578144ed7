/// Activations rounded to 8 bits: what DType::kInt8Rows tensors hold. Each row along the last axis
/// (a token or pixel) is 8-bit unsigned with a scale and an offset of its own:
///   x = scale * q + offset.
#pragma once

#include <cstdint>

namespace tintype {

/// Inputs that one instruction multiplies and adds up: rows are filled up to whole quads.
inline constexpr int64_t kQuad = 4;

/// What precedes the bytes of a row.
struct Int8RowHeader {
  float scale, offset;
};

/// Bytes of a row of `channels`: the header, then the numbers filled up to quads with zeros.
constexpr int64_t int8_row_bytes(int64_t channels) {
  return static_cast<int64_t>(sizeof(Int8RowHeader)) + (channels + kQuad - 1) / kQuad * kQuad;
}

}  // namespace tintype
