/// The register tile of 8-bit products, in the form that each instruction set multiplies fastest.
/// Thread-safe: no state.
///
/// An input row is as tensor/int8_rows.h says, x = scale * q + offset; a weight column is 8-bit
/// signed with one scale over all taps. So
///   sum_k x_k w_k = scale * sum_k q_k w_k + offset * sum_k w_k,
/// where the first sum is exact in 32-bit integers and the last is known when the weight is packed.
/// Each tap of a convolution meets another pixel, with another scale: taps are added in f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensor/int8_rows.h"

namespace tintype::cpu {

/// Columns of a panel, whatever the instruction set.
inline constexpr int64_t kInt8PanelWidth = 32;

/// To the nearest whole number, ties to even; |x| < 2^22. (The library's lrintf is a call where the
/// compiler must keep errno.)
inline int32_t round_to_int(float x) {
  const float shifted = x + 0x1.8p23f;
  int32_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  return bits - 0x4B400000;
}

/// A tap of a panel: the sums of its columns' weights (float[kInt8PanelWidth]), then for each quad
/// of inputs int8[kInt8PanelWidth][kQuad].
constexpr int64_t int8_tap_bytes(int64_t channels) {
  return kInt8PanelWidth *
         (static_cast<int64_t>(sizeof(float)) + (channels + kQuad - 1) / kQuad * kQuad);
}

struct Int8TileArgs {
  const std::byte* const* rows = nullptr;  ///< [taps][Int8Tile::rows] quantised rows
  int64_t taps = 0, quads = 0;
  const std::byte* panel = nullptr;  ///< [taps] of int8_tap_bytes
  bool accumulate = false;
  int64_t columns = kInt8PanelWidth;  ///< of the panel that count; sums of others are anything
  float* sums = nullptr;              ///< [Int8Tile::rows][kInt8PanelWidth], 64-byte aligned
};

struct Int8Tile {
  const char* name = "";
  int64_t rows = 0;  ///< rows of a tile
  /// Computes the first `count` rows or more; all row pointers must be readable.
  void (*run)(int64_t count, const Int8TileArgs& args) = nullptr;
};

/// AVX-512 with VNNI; `rows` 0 where the program or the processor has none.
Int8Tile int8_tile_avx512_vnni();

}  // namespace tintype::cpu
