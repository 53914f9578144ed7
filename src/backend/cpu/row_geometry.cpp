#include "backend/cpu/row_geometry.h"

#include <algorithm>

namespace tintype::cpu {

// With fewer row blocks than this, columns are cut too.
constexpr int64_t kWantedTasks = 64;

void point_rows(const RowGeometry& g, const RowSource& source, int64_t first, int64_t count,
                int64_t tile_rows, const std::byte** table) {
  for (int64_t r = 0; r < tile_rows; ++r) {
    const int64_t row = first + std::min(r, count - 1);
    const int64_t column = row % g.out_width, line = row / g.out_width;
    const int64_t image = line / g.out_height;
    const int64_t top = line % g.out_height * g.stride - g.pad_top;
    const int64_t left = column * g.stride - g.pad_left;
    for (int64_t i = 0; i < g.kernel_h; ++i) {
      for (int64_t j = 0; j < g.kernel_w; ++j) {
        const int64_t y = top + i, x = left + j;
        const bool inside = y >= 0 && y < g.seen_height && x >= 0 && x < g.seen_width;
        const int64_t from_y = y * g.height / g.seen_height, from_x = x * g.width / g.seen_width;
        const int64_t pixel = (image * g.height + from_y) * g.width + from_x;
        table[(i * g.kernel_w + j) * tile_rows + r] =
            inside ? source.x + pixel * source.pixel_bytes : source.padding;
      }
    }
  }
}

TaskCutting::TaskCutting(int64_t row_count, int64_t panel_count, int64_t tile_rows,
                         int64_t task_tiles)
    : rows(row_count), panels(panel_count) {
  const int64_t tiles = (rows + tile_rows - 1) / tile_rows;
  row_blocks = (tiles + task_tiles - 1) / task_tiles;
  rows_per_block = (tiles + row_blocks - 1) / row_blocks * tile_rows;
  column_cuts = std::min((kWantedTasks + row_blocks - 1) / row_blocks, panels);
}

int64_t TaskCutting::last_row(int64_t task) const {
  return std::min(first_row(task) + rows_per_block, rows);
}

}  // namespace tintype::cpu
