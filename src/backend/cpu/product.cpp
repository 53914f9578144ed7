#include "backend/cpu/product.h"

#include <cstring>
#include <vector>

#include <hwy/aligned_allocator.h>

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

/// `count` values of an element type, widened to f32.
void Widen(DType stored, const std::byte* from, int64_t count, float* HWY_RESTRICT to) {
  const Floats d;
  const hn::Rebind<uint16_t, Floats> bits;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto half = hn::LoadU(bits, reinterpret_cast<const uint16_t*>(from + 2 * i));
    const Vector wide =
        stored == DType::kF16
            ? hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, Floats>(), half))
            : hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::bfloat16_t, Floats>(), half));
    hn::StoreU(wide, d, to + i);
  }
  for (; i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, from + 2 * i, 2);
    to[i] = stored == DType::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
  }
}

/// T holds an element's bits.
template <typename T>
void PackPanel(const PanelSource& source, int64_t panel, T* panels) {
  const int64_t first = panel * kPanelWidth, k = source.taps * source.depth;
  const int64_t width = PanelVectors(first, source.columns) * kLanes;
  const int64_t used = HWY_MIN(width, source.columns - first);
  T* to = panels + first * k;
  if (used < width) std::memset(to, 0, static_cast<size_t>(k * width) * sizeof(T));
  for (int64_t n = 0; n < used; ++n) {
    // Source order is channel-major, panel order tap-major.
    const std::byte* from = source.data + (first + n) * k * static_cast<int64_t>(sizeof(T));
    for (int64_t c = 0; c < source.depth; ++c)
      for (int64_t tap = 0; tap < source.taps; ++tap, from += sizeof(T))
        std::memcpy(to + (tap * source.depth + c) * width + n, from, sizeof(T));
  }
}

void PackPanels(const PanelSource& source, std::byte* panels) {
  const int64_t count = (source.columns + kPanelWidth - 1) / kPanelWidth;
  parallel_for(count, [&](int64_t panel, int) HWY_ATTR {
    if (source.dtype == DType::kF32)
      PackPanel(source, panel, reinterpret_cast<float*>(panels));
    else
      PackPanel(source, panel, reinterpret_cast<uint16_t*>(panels));
  });
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
        const bool inside = y >= 0 && y < g.seen_height && x >= 0 && x < g.seen_width;
        const int64_t from_y = y * g.height / g.seen_height, from_x = x * g.width / g.seen_width;
        table[(i * g.kernel_w + j) * kTileRows + r] =
            inside ? args.x + ((image * g.height + from_y) * g.width + from_x) * g.channels : zeros;
      }
    }
  }
}

/// Applies the epilogue to one vector of sums of `row` at `column`.
HWY_INLINE Vector FinishVector(Floats d, Vector sum, const ProductArgs& args, int64_t row,
                               int64_t column) {
  const ProductEpilogue& e = args.epilogue;
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

// Tiles of rows in one task: they share each block of a weight panel while it is in the
// second-level cache. A block is as many taps as fit kBlockFloats, at least one; the sums wait in
// memory between blocks, which changes no bit of them.
constexpr int64_t kMaxTilesPerTask = 12;
constexpr int64_t kBlockFloats = int64_t{96} << 10;
// Enough tasks to keep a large team busy; with fewer row blocks than this, columns are cut too.
constexpr int64_t kWantedTasks = 64;

/// How a product is cut into tasks: by its shape alone.
struct Cutting {
  int64_t rows, taps, depth, panels;
  int64_t row_blocks, rows_per_block;  ///< of equal size, but for the last
  int64_t column_cuts;
  int64_t block_taps;

  explicit Cutting(const ProductArgs& args)
      : rows(args.rows.rows()),
        taps(args.rows.taps()),
        depth(args.rows.channels),
        panels((args.columns + kPanelWidth - 1) / kPanelWidth) {
    const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
    row_blocks = (tiles + kMaxTilesPerTask - 1) / kMaxTilesPerTask;
    rows_per_block = (tiles + row_blocks - 1) / row_blocks * kTileRows;
    column_cuts = HWY_MIN((kWantedTasks + row_blocks - 1) / row_blocks, panels);
    block_taps = HWY_MAX(kBlockFloats / HWY_MAX(depth * kPanelWidth, 1), int64_t{1});
  }
  int64_t tasks() const { return row_blocks * column_cuts; }
  size_t table_size() const { return static_cast<size_t>(kMaxTilesPerTask * taps * kTileRows); }
  /// Floats of a block of a panel.
  size_t block_size() const {
    return static_cast<size_t>(HWY_MIN(block_taps, taps) * depth * kPanelWidth);
  }
};

/// What one thread works in, for the length of a product.
struct Scratch {
  std::vector<const float*> table;           ///< [tiles][taps][kTileRows]
  hwy::AlignedFreeUniquePtr<float[]> block;  ///< a widened block; null for f32 panels

  Scratch(const ProductArgs& args, const Cutting& cut) : table(cut.table_size()) {
    if (args.stored != DType::kF32) block = hwy::AllocateAligned<float>(cut.block_size());
  }
};

/// `count` weights from element `first` of the panels on, in f32.
const float* Block(const ProductArgs& args, int64_t first, int64_t count, const Scratch& scratch) {
  if (args.stored == DType::kF32) return reinterpret_cast<const float*>(args.panels) + first;
  Widen(args.stored, args.panels + 2 * first, count, scratch.block.get());
  return scratch.block.get();
}

/// One task: its rows against its share of the panels.
void RunTask(const ProductArgs& args, const Cutting& cut, const float* zeros, int64_t task,
             Scratch& scratch) {
  const int64_t first_row = task / cut.column_cuts * cut.rows_per_block;
  const int64_t last_row = HWY_MIN(first_row + cut.rows_per_block, cut.rows);
  const int64_t column_cut = task % cut.column_cuts;
  const int64_t tile_pointers = cut.taps * kTileRows;
  const float** table = scratch.table.data();
  for (int64_t row = first_row, tile = 0; row < last_row; row += kTileRows, ++tile)
    PointRows(args, zeros, row, HWY_MIN(kTileRows, last_row - row), table + tile * tile_pointers);

  HWY_ALIGN float sums[kMaxTilesPerTask][kTileRows * kPanelWidth];
  const int64_t last_panel = cut.panels * (column_cut + 1) / cut.column_cuts;
  for (int64_t panel = cut.panels * column_cut / cut.column_cuts; panel < last_panel; ++panel) {
    const int64_t column = panel * kPanelWidth;
    const int vectors = PanelVectors(column, args.columns);
    const int64_t tap_size = cut.depth * vectors * kLanes;
    for (int64_t tap = 0; tap < cut.taps; tap += cut.block_taps) {
      const int64_t taps_here = HWY_MIN(cut.block_taps, cut.taps - tap);
      const float* weights = Block(args, column * cut.taps * cut.depth + tap * tap_size,
                                   taps_here * tap_size, scratch);
      for (int64_t row = first_row, tile = 0; row < last_row; row += kTileRows, ++tile)
        Tile(HWY_MIN(kTileRows, last_row - row), vectors,
             table + tile * tile_pointers + tap * kTileRows, taps_here, cut.depth, weights, tap > 0,
             sums[tile]);
    }
    for (int64_t row = first_row, tile = 0; row < last_row; row += kTileRows, ++tile)
      StoreTile(sums[tile], args, row, HWY_MIN(kTileRows, last_row - row), column, vectors);
  }
}

void Product(const ProductArgs& args, const float* zeros) {
  const Cutting cut(args);
  std::vector<Scratch> scratch;
  for (int thread = 0; thread < thread_count(); ++thread) scratch.emplace_back(args, cut);
  parallel_for(cut.tasks(), [&](int64_t task, int thread) HWY_ATTR {
    RunTask(args, cut, zeros, task, scratch[static_cast<size_t>(thread)]);
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

void pack_panels(const PanelSource& source, std::byte* panels) {
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
