/// What every product over pictures and tokens shares: where the inputs of an output row lie, and
/// how the rows are cut into tasks. By shape alone, so results do not depend on threads.
/// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

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
  int64_t pixels() const { return images * height * width; }
  int64_t taps() const { return kernel_h * kernel_w; }
};

/// The input as bytes: `pixel_bytes` apart; `padding` is what a tap outside the picture reads.
struct RowSource {
  const std::byte* x = nullptr;
  int64_t pixel_bytes = 0;
  const std::byte* padding = nullptr;
};

/// Fills table[tap * tile_rows + r] for the rows first..first+count-1; surplus rows of the tile
/// repeat the last one.
void point_rows(const RowGeometry& geometry, const RowSource& source, int64_t first, int64_t count,
                int64_t tile_rows, const std::byte** table);

/// How a product is cut into tasks: blocks of rows, and of columns where the rows alone are too few
/// to keep a large team busy.
struct TaskCutting {
  int64_t rows, panels;
  int64_t row_blocks, rows_per_block;  ///< of equal size, but for the last
  int64_t column_cuts;

  /// The rows of a task are at most `task_tiles` tiles: they share each block of a weight panel
  /// while it is in the second-level cache.
  TaskCutting(int64_t rows, int64_t panels, int64_t tile_rows, int64_t task_tiles);
  int64_t tasks() const { return row_blocks * column_cuts; }

  int64_t first_row(int64_t task) const { return task / column_cuts * rows_per_block; }
  int64_t last_row(int64_t task) const;
  int64_t first_panel(int64_t task) const { return panels * (task % column_cuts) / column_cuts; }
  int64_t last_panel(int64_t task) const { return panels * (task % column_cuts + 1) / column_cuts; }
};

}  // namespace tintype::cpu
