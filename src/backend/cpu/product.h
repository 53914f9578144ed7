/// Matrix product and convolution as one operation: an indirect product. Each output row (a token
/// or an output pixel) is the dot product of `taps` runs of `depth` inputs with a packed weight
/// panel; where the runs lie is a table of pointers, so convolution needs no im2col copy and zero
/// padding is a pointer to zeros. Every output is summed over k in one fixed order, whatever the
/// tile, batch or thread: the same row gives the same bits alone, in a batch and on any number of
/// threads. Thread-safe: no state.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"

namespace tintype::cpu {

/// Where the inputs of each output row lie. A linear layer is a 1x1 convolution over one image of
/// height 1.
struct RowGeometry {
  int64_t images = 1, height = 1, width = 1,
          channels = 0;                     ///< input [images,height,width,channels]
  int64_t seen_height = 1, seen_width = 1;  ///< what the taps see: the input, resized or not
  int64_t out_height = 1, out_width = 1;
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride = 1, pad_top = 0, pad_left = 0;

  int64_t rows() const { return images * out_height * out_width; }
  int64_t taps() const { return kernel_h * kernel_w; }
};

/// Raw pointers of an Epilogue. `rows_per_image` maps a row to its image_bias.
struct ProductEpilogue {
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
