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

#include "backend/cpu/product_store-inl.h"
#include "backend/cpu/product_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

int64_t PanelColumns() { return kPanelWidth; }

int64_t PanelsSize(int64_t k, int64_t columns) {
  const int64_t vectors = (columns + kLanes - 1) / kLanes;
  return k * vectors * kLanes;
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

// More tiles a task are fewer times that a block is widened to f32.
constexpr int64_t kMaxTilesPerTask = 24;
// A block of a panel is as many taps as fit kBlockFloats, at least one; the sums wait in memory
// between blocks, which changes no bit of them.
constexpr int64_t kBlockFloats = int64_t{96} << 10;

struct Blocking {
  int64_t taps, depth, block_taps;
  explicit Blocking(const ProductArgs& args)
      : taps(args.rows.taps()),
        depth(args.rows.channels),
        block_taps(HWY_MAX(kBlockFloats / HWY_MAX(depth * kPanelWidth, 1), int64_t{1})) {}
  size_t table_size() const { return static_cast<size_t>(kMaxTilesPerTask * taps * kTileRows); }
  /// Floats of a block of a panel.
  size_t block_size() const {
    return static_cast<size_t>(HWY_MIN(block_taps, taps) * depth * kPanelWidth);
  }
};

/// What one thread works in, for the length of a product.
struct Scratch {
  std::vector<const std::byte*> table;       ///< [tiles][taps][kTileRows]
  hwy::AlignedFreeUniquePtr<float[]> block;  ///< a widened block; null for f32 panels

  LowRankPanels low_rank;

  Scratch(const ProductArgs& args, const Blocking& blocking)
      : table(blocking.table_size()), low_rank(args.epilogue, args.columns, kPanelWidth) {
    if (args.stored != DType::kF32) block = hwy::AllocateAligned<float>(blocking.block_size());
  }
};

/// `count` weights from element `first` of the panels on, in f32.
const float* Block(const ProductArgs& args, int64_t first, int64_t count, const Scratch& scratch) {
  if (args.stored == DType::kF32) return reinterpret_cast<const float*>(args.panels) + first;
  Widen(args.stored, args.panels + 2 * first, count, scratch.block.get());
  return scratch.block.get();
}

/// One task: its rows against its share of the panels.
void RunTask(const ProductArgs& args, const Blocking& by, const TaskCutting& cut,
             const float* zeros, int64_t task, Scratch& scratch) {
  const int64_t first_row = cut.first_row(task), last_row = cut.last_row(task);
  const int64_t tile_pointers = by.taps * kTileRows;
  const std::byte** table = scratch.table.data();
  const RowSource source{.x = reinterpret_cast<const std::byte*>(args.x),
                         .pixel_bytes = by.depth * static_cast<int64_t>(sizeof(float)),
                         .padding = reinterpret_cast<const std::byte*>(zeros)};
  for (int64_t row = first_row, tile = 0; row < last_row; row += kTileRows, ++tile)
    point_rows(args.rows, source, row, HWY_MIN(kTileRows, last_row - row), kTileRows,
               table + tile * tile_pointers);

  HWY_ALIGN float sums[kMaxTilesPerTask][kTileRows * kPanelWidth];
  const Outputs outputs{args.epilogue, args.columns, args.out};
  for (int64_t panel = cut.first_panel(task); panel < cut.last_panel(task); ++panel) {
    const int64_t column = panel * kPanelWidth;
    const int vectors = PanelVectors(column, args.columns);
    const int64_t tap_size = by.depth * vectors * kLanes;
    for (int64_t tap = 0; tap < by.taps; tap += by.block_taps) {
      const int64_t taps_here = HWY_MIN(by.block_taps, by.taps - tap);
      const float* weights =
          Block(args, column * by.taps * by.depth + tap * tap_size, taps_here * tap_size, scratch);
      for (int64_t row = first_row, tile = 0; row < last_row; row += kTileRows, ++tile)
        Tile(HWY_MIN(kTileRows, last_row - row), vectors,
             reinterpret_cast<const float* const*>(table + tile * tile_pointers + tap * kTileRows),
             taps_here, by.depth, weights, tap > 0, sums[tile]);
    }
    scratch.low_rank.Prepare(column, vectors);
    for (int64_t row = first_row, tile = 0; row < last_row; row += kTileRows, ++tile)
      StoreTile(sums[tile], outputs, scratch.low_rank, row, HWY_MIN(kTileRows, last_row - row),
                column, vectors);
  }
}

void Product(const ProductArgs& args, const float* zeros) {
  const Blocking blocking(args);
  const TaskCutting cut(args.rows.rows(), (args.columns + kPanelWidth - 1) / kPanelWidth, kTileRows,
                        kMaxTilesPerTask);
  std::vector<Scratch> scratch;
  for (int thread = 0; thread < thread_count(); ++thread) scratch.emplace_back(args, blocking);
  parallel_for(cut.tasks(), [&](int64_t task, int thread) HWY_ATTR {
    RunTask(args, blocking, cut, zeros, task, scratch[static_cast<size_t>(thread)]);
  });
}

const char* InstructionSet() { return hwy::TargetName(HWY_TARGET); }

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tintype::cpu {

HWY_EXPORT(PanelColumns);
HWY_EXPORT(PanelsSize);
HWY_EXPORT(PackPanels);
HWY_EXPORT(Product);
HWY_EXPORT(InstructionSet);

int64_t panel_columns() { return HWY_DYNAMIC_DISPATCH(PanelColumns)(); }

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
