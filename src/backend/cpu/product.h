/// Matrix product and convolution as one operation: an indirect product. Each output row (a token
/// or an output pixel) is the dot product of `taps` runs of `depth` inputs with a packed weight
/// panel; where the runs lie is a table of pointers, so convolution needs no im2col copy and zero
/// padding is a pointer to zeros. Every output is summed over k in one fixed order, whatever the
/// tile, batch or thread: the same row gives the same bits alone, in a batch and on any number of
/// threads. Thread-safe: no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "backend/cpu/row_geometry.h"

namespace tintype::cpu {

/// Raw pointers of a LowRankTerm, for the product's rows first_row..last_row-1.
struct ProductLowRank {
  int64_t first_row = 0, last_row = 0;
  const float* middle = nullptr;  ///< [last_row - first_row, rank]
  int64_t rank = 0;
  const std::byte* up = nullptr;  ///< pack_panels' output; null: the identity
  DType stored = DType::kF32;     ///< element type of `up`
  float scale = 1;
  const float* gain = nullptr;  ///< [columns]
};

/// Raw pointers of an Epilogue. `rows_per_image` maps a row to its image_bias.
struct ProductEpilogue {
  const float* column_scale = nullptr;  ///< [columns], before all else: of 8-bit weights
  const float* image_gain = nullptr;
  std::span<const ProductLowRank> low_rank = {};
  const float* bias = nullptr;
  const float* image_bias = nullptr;
  int64_t rows_per_image = 1;
  Activation activation = Activation::kNone;
  const float* residual = nullptr;
};

struct ProductArgs {
  RowGeometry rows;
  const float* x = nullptr;
  const std::byte* panels = nullptr;  ///< pack_panels' output
  DType stored = DType::kF32;         ///< element type of the panels: f32 | f16 | bf16
  int64_t columns = 0;                ///< N
  ProductEpilogue epilogue;
  float* out = nullptr;  ///< [rows, columns]
};

/// A weight as checkpoints store it: [columns][depth][taps], where a linear layer has one tap.
struct PanelSource {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;  ///< f32 | f16 | bf16
  int64_t taps = 1, depth = 0, columns = 0;
};

/// Columns of a whole panel: two vector registers of the instruction set in use.
int64_t panel_columns();
/// Elements that pack_panels writes for K = taps * depth rows and `columns` columns.
int64_t panels_size(int64_t k, int64_t columns);
/// Packs into column panels as wide as two vector registers (the last one as wide as one, when that
/// is enough), each [taps][depth][width], columns past N zero. Elements keep the source's type, so
/// weights take no more memory than their file; a product widens a block of a panel to f32 once for
/// all the rows that meet it, and computes the same bits as from f32 panels.
void pack_panels(const PanelSource& source, std::byte* panels);

void product(const ProductArgs& args);

/// Vector width in bytes and name of the instruction set in use ("AVX3", "AVX2", ...).
const char* instruction_set();

}  // namespace tintype::cpu
