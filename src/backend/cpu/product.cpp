#include "backend/cpu/product.h"

#include <cstring>
#include <vector>

#include "backend/cpu/thread_team.h"
#include "tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/product.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include <hwy/highway.h>

#include "backend/cpu/functions-inl.h"
#include "backend/cpu/product_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

int64_t PanelsSize(int64_t k, int64_t columns) {
  const int64_t vectors = (columns + kLanes - 1) / kLanes;
  return k * vectors * kLanes;
}

float LoadScalar(const std::byte* data, DType dtype, int64_t index) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, data + 4 * index, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data + 2 * index, 2);
  return dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

void PackPanel(const PanelSource& source, int64_t panel, float* panels) {
  const int64_t first = panel * kPanelWidth;
  const int64_t width = PanelVectors(first, source.columns) * kLanes;
  const int64_t used = HWY_MIN(width, source.columns - first);
  float* to = panels + first * source.taps * source.depth;
  for (int64_t tap = 0; tap < source.taps; ++tap) {
    for (int64_t k = 0; k < source.depth; ++k, to += width) {
      const int64_t start =
          tap * source.tap_stride + k * source.k_stride + first * source.n_stride;
      for (int64_t n = 0; n < used; ++n)
        to[n] = LoadScalar(source.data, source.dtype, start + n * source.n_stride);
      for (int64_t n = used; n < width; ++n) to[n] = 0.0f;
    }
  }
}

void PackPanels(const PanelSource& source, float* panels) {
  const int64_t count = (source.columns + kPanelWidth - 1) / kPanelWidth;
  parallel_for(count, [&](int64_t panel, int) HWY_ATTR { PackPanel(source, panel, panels); });
}

/// Fills table[tap * kTileRows + r] for the tile's rows; surplus rows repeat the last one.
void PointRows(const ProductArgs& args, const float* zeros, int64_t first, int64_t count,
               const float** table) {
  const RowGeometry& g = args.rows;
  for (int64_t r = 0; r < kTileRows; ++r) {
    const int64_t row = first + HWY_MIN(r, count - 1);
    const int64_t column = row % g.out_width, line = row / g.out_width;
    const int64_t image = line / g.out_height;
    const int64_t top = line % g.out_height * g.stride - g.pad_top;
    const int64_t left = column * g.stride - g.pad_left;
    for (int64_t i = 0; i < g.kernel_h; ++i) {
      for (int64_t j = 0; j < g.kernel_w; ++j) {
        const int64_t y = top + i, x = left + j;
        const bool inside = y >= 0 && y < g.height && x >= 0 && x < g.width;
        table[(i * g.kernel_w + j) * kTileRows + r] =
            inside ? args.x + ((image * g.height + y) * g.width + x) * g.channels : zeros;
      }
    }
  }
}

/// Applies the epilogue to one vector of sums of `row` at `column`.
HWY_INLINE Vector FinishVector(Floats d, Vector sum, const ProductArgs& args, int64_t row,
                               int64_t column) {
  const ProductEpilogue& e = args.epilogue;
  if (e.scale != 1.0f) sum = hn::Mul(sum, hn::Set(d, e.scale));
  if (e.bias) sum = hn::Add(sum, hn::LoadU(d, e.bias + column));
  if (e.image_bias)
    sum = hn::Add(sum, hn::LoadU(d, e.image_bias + row / e.rows_per_image * args.columns + column));
  sum = Activate(d, sum, e.activation);
  if (e.residual) sum = hn::Add(sum, hn::LoadU(d, e.residual + row * args.columns + column));
  return sum;
}

/// The same on the last, partial vector of a row: no read or write past column N.
void FinishTail(const float* sums, const ProductArgs& args, int64_t row, int64_t column,
                int64_t count) {
  const Floats d;
  HWY_ALIGN float in[4][kLanes] = {};
  const ProductEpilogue& e = args.epilogue;
  std::memcpy(in[0], sums, static_cast<size_t>(count) * sizeof(float));
  ProductArgs tail = args;
  tail.columns = 0;  // the copies below already stand at this row and column
  if (e.bias) {
    std::memcpy(in[1], e.bias + column, static_cast<size_t>(count) * sizeof(float));
    tail.epilogue.bias = in[1];
  }
  if (e.image_bias) {
    std::memcpy(in[2], e.image_bias + row / e.rows_per_image * args.columns + column,
                static_cast<size_t>(count) * sizeof(float));
    tail.epilogue.image_bias = in[2];
  }
  if (e.residual) {
    std::memcpy(in[3], e.residual + row * args.columns + column,
                static_cast<size_t>(count) * sizeof(float));
    tail.epilogue.residual = in[3];
  }
  hn::Store(FinishVector(d, hn::Load(d, in[0]), tail, 0, 0), d, in[0]);
  std::memcpy(args.out + row * args.columns + column, in[0],
              static_cast<size_t>(count) * sizeof(float));
}

void StoreTile(const float* sums, const ProductArgs& args, int64_t first_row, int64_t rows,
               int64_t first_column, int vectors) {
  const Floats d;
  for (int64_t r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) {
      const int64_t row = first_row + r, column = first_column + v * kLanes;
      const float* from = sums + (r * vectors + v) * kLanes;
      const int64_t left = args.columns - column;
      if (left >= kLanes)
        hn::StoreU(FinishVector(d, hn::Load(d, from), args, row, column), d,
                   args.out + row * args.columns + column);
      else if (left > 0)
        FinishTail(from, args, row, column, left);
    }
  }
}

// Rows of one task: eight tiles share each weight panel while it is in the second-level cache.
constexpr int64_t kTilesPerTask = 8;
constexpr int64_t kRowsPerTask = kTilesPerTask * kTileRows;
// Enough tasks to keep a large team busy; with fewer row blocks than this, columns are cut too.
constexpr int64_t kWantedTasks = 64;

void Product(const ProductArgs& args, const float* zeros) {
  const int64_t rows = args.rows.rows(), taps = args.rows.taps(), depth = args.rows.channels;
  const int64_t panel_count = (args.columns + kPanelWidth - 1) / kPanelWidth;
  const int64_t row_blocks = (rows + kRowsPerTask - 1) / kRowsPerTask;
  const int64_t wanted_cuts = (kWantedTasks + row_blocks - 1) / HWY_MAX(row_blocks, 1);
  const int64_t cuts = HWY_MAX(HWY_MIN(wanted_cuts, panel_count), 1);
  const size_t table_size = static_cast<size_t>(kTilesPerTask * taps * kTileRows);
  std::vector<const float*> tables(table_size * static_cast<size_t>(thread_count()));

  parallel_for(row_blocks * cuts, [&](int64_t task, int thread) HWY_ATTR {
    const int64_t first_row = task / cuts * kRowsPerTask, cut = task % cuts;
    const int64_t last_row = HWY_MIN(first_row + kRowsPerTask, rows);
    const float** table = tables.data() + table_size * static_cast<size_t>(thread);
    for (int64_t row = first_row, tile = 0; row < last_row; row += kTileRows, ++tile)
      PointRows(args, zeros, row, HWY_MIN(kTileRows, last_row - row),
                table + tile * taps * kTileRows);
    HWY_ALIGN float sums[kTileRows * kPanelWidth];
    for (int64_t panel = panel_count * cut / cuts; panel < panel_count * (cut + 1) / cuts;
         ++panel) {
      const int64_t column = panel * kPanelWidth;
      const int vectors = PanelVectors(column, args.columns);
      const float* weights = args.panels + column * taps * depth;
      for (int64_t row = first_row, tile = 0; row < last_row; row += kTileRows, ++tile) {
        const int64_t count = HWY_MIN(kTileRows, last_row - row);
        Tile(count, vectors, table + tile * taps * kTileRows, taps, depth, weights, false, sums);
        StoreTile(sums, args, row, count, column, vectors);
      }
    }
  });
}

const char* InstructionSet() { return hwy::TargetName(HWY_TARGET); }

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tintype::cpu {

HWY_EXPORT(PanelsSize);
HWY_EXPORT(PackPanels);
HWY_EXPORT(Product);
HWY_EXPORT(InstructionSet);

int64_t panels_size(int64_t k, int64_t columns) {
  return HWY_DYNAMIC_DISPATCH(PanelsSize)(k, columns);
}

void pack_panels(const PanelSource& source, float* panels) {
  HWY_DYNAMIC_DISPATCH(PackPanels)(source, panels);
}

void product(const ProductArgs& args) {
  if (args.rows.rows() == 0 || args.columns == 0) return;
  // What a padding tap reads.
  const std::vector<float> zeros(static_cast<size_t>(args.rows.channels), 0.0f);
  HWY_DYNAMIC_DISPATCH(Product)(args, zeros.data());
}

const char* instruction_set() { return HWY_DYNAMIC_DISPATCH(InstructionSet)(); }

}  // namespace tintype::cpu
#endif
