/// Linear layers and convolutions with 8-bit weights and 8-bit inputs. Weights are quantised when
/// packed, symmetric, a scale for each output channel; inputs when the product is called, with a
/// scale and an offset for each pixel or token. Same geometry, epilogue and determinism as
/// product.h. Thread-safe: no state.
#pragma once

#include "backend/cpu/int8_tile.h"
#include "backend/cpu/product.h"

namespace tintype::cpu {

/// Bytes that pack_int8_panels writes.
size_t int8_panels_bytes(int64_t taps, int64_t depth, int64_t columns);
/// Quantises and packs: panels [panels][taps] of int8_tap_bytes; scales [columns].
/// depth at most kMaxInt8Depth
void pack_int8_panels(const PanelSource& source, std::byte* panels, float* scales);
/// Longer sums could leave 32 bits.
inline constexpr int64_t kMaxInt8Depth = 65536;

/// x [rows, channels] -> rows of int8_row_bytes. A row with a value that is not finite becomes
/// not-a-number throughout.
void quantize_rows(const float* x, int64_t rows, int64_t channels, std::byte* out);

/// And back, as near as they are.
void widen_rows(const std::byte* x, int64_t rows, int64_t channels, float* out);

struct Int8ProductArgs {
  RowGeometry rows;
  const std::byte* x = nullptr;  ///< quantize_rows' output, [rows.pixels()]
  const std::byte* panels = nullptr;
  int64_t columns = 0;
  ProductEpilogue epilogue;  ///< with column_scale
  float* out = nullptr;      ///< [rows, columns]
};
void int8_product(const Int8ProductArgs& args);

/// Name of the tile in use ("AVX-512 VNNI", "AVX2", ...).
const char* int8_instruction_set();

}  // namespace tintype::cpu
