#include "backend/cpu/int8_product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <hwy/aligned_allocator.h>

#include "backend/cpu/isa.h"
#include "backend/cpu/thread_team.h"
#include "tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/int8_product.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include <hwy/highway.h>

#include "backend/cpu/product_store-inl.h"
#include "backend/cpu/quantize_row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

using Ints = hn::RebindToSigned<Floats>;
/// One row of a tile, for instruction sets without a four-way 8-bit dot product: calls
/// finish(first column, sums of its vector) with 32-bit sums of one tap.
#if HWY_TARGET == HWY_SCALAR
template <class Finish>
HWY_INLINE void MultiplyRow(const uint8_t* x, const int8_t* weights, int64_t quads,
                            const Finish& finish) {
  for (int64_t n = 0; n < kInt8PanelWidth; ++n) {
    int32_t sum = 0;
    for (int64_t i = 0; i < quads * kQuad; ++i)
      sum += x[i] * weights[(i / kQuad * kInt8PanelWidth + n) * kQuad + i % kQuad];
    finish(n, hn::Set(Ints(), sum));
  }
}
#else
/// Bytes are widened to 16 bits, whose products and pairwise sums are exact.
template <class Finish>
HWY_INLINE void MultiplyRow(const uint8_t* x, const int8_t* weights, int64_t quads,
                            const Finish& finish) {
  constexpr int64_t kVectors = HWY_MIN(kInt8PanelWidth / kLanes, 4);
  const Ints di;
  const hn::Repartition<int16_t, Ints> dw;
  const hn::RebindToUnsigned<decltype(dw)> du;
  for (int64_t first = 0; first < kInt8PanelWidth; first += kVectors * kLanes) {
    // On some machines two registers hold a sum until it is read.
    hn::Vec<Ints> sums[kVectors], others[kVectors];
    for (int64_t v = 0; v < kVectors; ++v) sums[v] = others[v] = hn::Zero(di);
    const int8_t* from = weights + first * kQuad;
    for (int64_t quad = 0; quad < quads; ++quad, from += kInt8PanelWidth * kQuad) {
      int32_t four;
      std::memcpy(&four, x + quad * kQuad, sizeof(four));
      const auto bytes = hn::BitCast(du, hn::Set(di, four));
      const auto even = hn::BitCast(dw, hn::And(bytes, hn::Set(du, 0xFF)));
      const auto odd = hn::BitCast(dw, hn::ShiftRight<8>(bytes));
      for (int64_t v = 0; v < kVectors; ++v) {
        const auto w = hn::LoadU(dw, reinterpret_cast<const int16_t*>(from + v * kLanes * kQuad));
        sums[v] = hn::ReorderWidenMulAccumulate(di, even, hn::ShiftRight<8>(hn::ShiftLeft<8>(w)),
                                                sums[v], others[v]);
        sums[v] = hn::ReorderWidenMulAccumulate(di, odd, hn::ShiftRight<8>(w), sums[v], others[v]);
      }
    }
    for (int64_t v = 0; v < kVectors; ++v)
      finish(first + v * kLanes, hn::RearrangeToOddPlusEven(sums[v], others[v]));
  }
}
#endif

constexpr int64_t kWideRows = 4;

void WideTile(int64_t count, const Int8TileArgs& args) {
  const Floats d;
  const std::byte* panel = args.panel;
  for (int64_t tap = 0; tap < args.taps; ++tap, panel += int8_tap_bytes(args.quads * kQuad)) {
    const float* column_sums = reinterpret_cast<const float*>(panel);
    const int8_t* weights = reinterpret_cast<const int8_t*>(column_sums + kInt8PanelWidth);
    for (int64_t r = 0; r < count; ++r) {
      const std::byte* input = args.rows[tap * kWideRows + r];
      Int8RowHeader row;
      std::memcpy(&row, input, sizeof(row));
      float* to = args.sums + r * kInt8PanelWidth;
      const auto finish = [&](int64_t n, hn::Vec<Ints> dots) HWY_ATTR {
        const Vector before = tap == 0 && !args.accumulate ? hn::Zero(d) : hn::Load(d, to + n);
        const Vector scaled = hn::MulAdd(hn::ConvertTo(d, dots), hn::Set(d, row.scale), before);
        const Vector sums = hn::LoadU(d, column_sums + n);
        hn::Store(hn::MulAdd(sums, hn::Set(d, row.offset), scaled), d, to + n);
      };
      MultiplyRow(reinterpret_cast<const uint8_t*>(input + sizeof(row)), weights, args.quads,
                  finish);
    }
  }
}

void QuantizeRows(const float* x, int64_t rows, int64_t channels, std::byte* out) {
  const int64_t rows_per_task = std::max<int64_t>((int64_t{1} << 15) / channels, 1);
  parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](int64_t task, int) HWY_ATTR {
    const int64_t last = std::min((task + 1) * rows_per_task, rows);
    for (int64_t row = task * rows_per_task; row < last; ++row)
      QuantizeRow(x + row * channels, channels, out + row * int8_row_bytes(channels));
  });
}

/// Has the lines of the outputs brought while their sums are computed: they lie too far apart for
/// the processor to foresee.
void FetchOutputs(const Outputs& to, int64_t first_row, int64_t rows, int64_t column) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t row = first_row; row < first_row + rows; ++row)
    for (int64_t c = column; c < std::min(column + kInt8PanelWidth, to.columns); c += kLine) {
      __builtin_prefetch(to.out + row * to.columns + c, 1);
      if (to.epilogue.residual) __builtin_prefetch(to.epilogue.residual + row * to.columns + c);
    }
}

constexpr int64_t kMaxTilesPerTask = 12;

void Int8Product(const Int8ProductArgs& args, const Int8Tile& tile, const std::byte* padding) {
  // As much of a panel as stays in the second-level cache beside the rows.
  constexpr int64_t kBlockBytes = int64_t{256} << 10;
  const int64_t taps = args.rows.taps(), quads = (args.rows.channels + kQuad - 1) / kQuad;
  const int64_t tap_bytes = int8_tap_bytes(args.rows.channels);
  const int64_t block_taps = std::max<int64_t>(kBlockBytes / tap_bytes, 1);
  const TaskCutting cut(args.rows.rows(), (args.columns + kInt8PanelWidth - 1) / kInt8PanelWidth,
                        tile.rows, kMaxTilesPerTask);
  const RowSource source{
      .x = args.x, .pixel_bytes = int8_row_bytes(args.rows.channels), .padding = padding};
  const Outputs outputs{args.epilogue, args.columns, args.out};
  const int64_t tile_pointers = taps * tile.rows, tile_sums = tile.rows * kInt8PanelWidth;
  struct Scratch {
    std::vector<const std::byte*> table;
    hwy::AlignedFreeUniquePtr<float[]> sums;
    LowRankPanels low_rank;
  };
  std::vector<Scratch> scratch;
  for (int thread = 0; thread < thread_count(); ++thread)
    scratch.push_back(
        {std::vector<const std::byte*>(static_cast<size_t>(kMaxTilesPerTask * tile_pointers)),
         hwy::AllocateAligned<float>(static_cast<size_t>(kMaxTilesPerTask * tile_sums)),
         LowRankPanels(args.epilogue, args.columns, kInt8PanelWidth)});
  parallel_for(cut.tasks(), [&](int64_t task, int thread) HWY_ATTR {
    const std::byte** table = scratch[static_cast<size_t>(thread)].table.data();
    float* sums = scratch[static_cast<size_t>(thread)].sums.get();
    const int64_t first_row = cut.first_row(task), last_row = cut.last_row(task);
    const auto for_tiles = [&](const auto& body) HWY_ATTR {
      for (int64_t row = first_row, i = 0; row < last_row; row += tile.rows, ++i)
        body(row, std::min(tile.rows, last_row - row), i);
    };
    for_tiles([&](int64_t row, int64_t count, int64_t i) HWY_ATTR {
      point_rows(args.rows, source, row, count, tile.rows, table + i * tile_pointers);
    });
    for (int64_t panel = cut.first_panel(task); panel < cut.last_panel(task); ++panel) {
      const std::byte* weights = args.panels + panel * taps * tap_bytes;
      for (int64_t tap = 0; tap < taps; tap += block_taps) {
        const bool last_taps = tap + block_taps >= taps;
        for_tiles([&](int64_t row, int64_t count, int64_t i) HWY_ATTR {
          if (last_taps) FetchOutputs(outputs, row, count, panel * kInt8PanelWidth);
          tile.run(count, {.rows = table + i * tile_pointers + tap * tile.rows,
                           .taps = std::min(block_taps, taps - tap),
                           .quads = quads,
                           .panel = weights + tap * tap_bytes,
                           .accumulate = tap > 0,
                           .columns = args.columns - panel * kInt8PanelWidth,
                           .sums = sums + i * tile_sums});
        });
      }
      LowRankPanels& low_rank = scratch[static_cast<size_t>(thread)].low_rank;
      constexpr int kVectors = static_cast<int>(kInt8PanelWidth / kLanes);
      low_rank.Prepare(panel * kInt8PanelWidth, kVectors);
      for_tiles([&](int64_t row, int64_t count, int64_t i) HWY_ATTR {
        StoreTile(sums + i * tile_sums, outputs, low_rank, row, count, panel * kInt8PanelWidth,
                  kVectors);
      });
    }
  });
}

Int8Tile WideInt8Tile() {
  return {.name = hwy::TargetName(HWY_TARGET), .rows = kWideRows, .run = WideTile};
}

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tintype::cpu {

HWY_EXPORT(QuantizeRows);
HWY_EXPORT(Int8Product);
HWY_EXPORT(WideInt8Tile);

namespace {

Int8Tile best_tile() {
  const Int8Tile vnni = vnni_allowed() ? int8_tile_avx512_vnni() : Int8Tile{};
  return vnni.rows ? vnni : HWY_DYNAMIC_DISPATCH(WideInt8Tile)();
}

const Int8Tile& tile_in_use() {
  static const Int8Tile tile = best_tile();
  return tile;
}

float element(const PanelSource& source, int64_t i) {
  if (source.dtype == DType::kF32) {
    float value;
    std::memcpy(&value, source.data + 4 * i, sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, source.data + 2 * i, sizeof(bits));
  return source.dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

/// One output channel into its column of a panel; returns its scale.
float pack_column(const PanelSource& source, int64_t column, std::byte* panel) {
  const int64_t k = source.taps * source.depth, n = column % kInt8PanelWidth;
  std::vector<float> values(static_cast<size_t>(k));
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < k; ++i) {
    const float value = element(source, column * k + i);
    finite = finite && std::isfinite(value);
    largest = std::max(largest, std::fabs(value));
    values[static_cast<size_t>(i)] = value;
  }
  if (!finite) return NAN;  // the bytes stay zero
  const float scale = largest / 127.0f, inverse = largest > 0 ? 127.0f / largest : 0.0f;
  for (int64_t tap = 0; tap < source.taps; ++tap, panel += int8_tap_bytes(source.depth)) {
    int8_t* quads = reinterpret_cast<int8_t*>(panel + kInt8PanelWidth * sizeof(float));
    int32_t sum = 0;
    for (int64_t c = 0; c < source.depth; ++c) {
      // Source order is channel-major.
      const float value = values[static_cast<size_t>(c * source.taps + tap)];
      const auto q = static_cast<int8_t>(round_to_int(value * inverse));
      quads[(c / kQuad * kInt8PanelWidth + n) * kQuad + c % kQuad] = q;
      sum += q;
    }
    const float column_sum = static_cast<float>(sum);
    std::memcpy(panel + n * static_cast<int64_t>(sizeof(float)), &column_sum, sizeof(column_sum));
  }
  return scale;
}

}  // namespace

size_t int8_panels_bytes(int64_t taps, int64_t depth, int64_t columns) {
  return static_cast<size_t>((columns + kInt8PanelWidth - 1) / kInt8PanelWidth * taps *
                             int8_tap_bytes(depth));
}

void pack_int8_panels(const PanelSource& source, std::byte* panels, float* scales) {
  const int64_t panel_bytes = source.taps * int8_tap_bytes(source.depth);
  std::memset(panels, 0, int8_panels_bytes(source.taps, source.depth, source.columns));
  parallel_for(source.columns, [&](int64_t column, int) {
    scales[column] = pack_column(source, column, panels + column / kInt8PanelWidth * panel_bytes);
  });
}

void quantize_rows(const float* x, int64_t rows, int64_t channels, std::byte* out) {
  if (rows && channels) HWY_DYNAMIC_DISPATCH(QuantizeRows)(x, rows, channels, out);
}

void widen_rows(const std::byte* x, int64_t rows, int64_t channels, float* out) {
  parallel_for(rows, [&](int64_t row, int) {
    Int8RowHeader header;
    const std::byte* from = x + row * int8_row_bytes(channels);
    std::memcpy(&header, from, sizeof(header));
    for (int64_t c = 0; c < channels; ++c)
      out[row * channels + c] =
          header.scale * std::to_integer<uint8_t>(from[sizeof(header) + static_cast<size_t>(c)]) +
          header.offset;
  });
}

void int8_product(const Int8ProductArgs& args) {
  if (args.rows.rows() == 0 || args.columns == 0) return;
  // A padding tap reads a row whose scale and offset are zero.
  const std::vector<std::byte> padding(static_cast<size_t>(int8_row_bytes(args.rows.channels)));
  HWY_DYNAMIC_DISPATCH(Int8Product)(args, tile_in_use(), padding.data());
}

const char* int8_instruction_set() { return tile_in_use().name; }

}  // namespace tintype::cpu
#endif
