#include "backend/cpu/attention.h"

#include <cstring>
#include <limits>

#include "backend/cpu/thread_team.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attention.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include <hwy/highway.h>

#include "backend/cpu/functions-inl.h"
#include "backend/cpu/product_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

// A block of scores (48 x 256 floats with AVX-512) stays in the second-level cache together with
// the keys and values it meets.
constexpr int64_t kTilesPerBlock = 4;
constexpr int64_t kQueryBlock = kTilesPerBlock * kTileRows;
constexpr int64_t kKeyBlock = 256;
static_assert(kKeyBlock % kPanelWidth == 0);

int64_t RoundUp(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

/// Extents and scratch offsets, in floats.
struct Layout {
  int64_t padded_keys;                 ///< keys rounded up to panels
  int64_t padded_width;                ///< head width rounded up to vectors
  int64_t packed_keys, packed_values;  ///< per (image, head)
  int64_t per_thread;

  explicit Layout(const AttentionArgs& a)
      : padded_keys(RoundUp(a.keys, kPanelWidth)),
        padded_width(RoundUp(a.head_width, kLanes)),
        packed_keys(padded_keys * a.head_width),
        packed_values(padded_keys * padded_width),
        // scores, output sums, scaled queries, row maximum and row sum, one tile of sums
        per_thread(kQueryBlock * (kKeyBlock + 2 * padded_width + kLanes) +
                   2 * RoundUp(kQueryBlock, kLanes) + kTileRows * kPanelWidth) {}
};

/// K^T as panels of kPanelWidth keys: [key panel][head_width][kPanelWidth], keys past the end zero.
void PackKeys(const AttentionArgs& a, const float* keys, float* to) {
  const int64_t stride = a.heads * a.head_width;
  for (int64_t first = 0; first < a.keys; first += kPanelWidth) {
    for (int64_t d = 0; d < a.head_width; ++d, to += kPanelWidth)
      for (int64_t t = 0; t < kPanelWidth; ++t)
        to[t] = first + t < a.keys ? keys[(first + t) * stride + d] : 0.0f;
  }
}

/// V in blocks of kKeyBlock rows, each block as column panels [rows][panel width]: a block of
/// probabilities meets one contiguous run. Columns past the head width and rows past the end zero.
void PackValues(const AttentionArgs& a, const Layout& layout, const float* values, float* to) {
  const int64_t stride = a.heads * a.head_width;
  for (int64_t block = 0; block < a.keys; block += kKeyBlock) {
    const int64_t rows = HWY_MIN(kKeyBlock, layout.padded_keys - block);
    for (int64_t column = 0; column < a.head_width; column += kPanelWidth) {
      const int64_t width = PanelVectors(column, a.head_width) * kLanes;
      const int64_t used = HWY_MIN(width, a.head_width - column);
      for (int64_t t = 0; t < rows; ++t, to += width) {
        const bool real = block + t < a.keys;
        if (real)
          std::memcpy(to, values + (block + t) * stride + column,
                      static_cast<size_t>(used) * sizeof(float));
        for (int64_t d = real ? used : 0; d < width; ++d) to[d] = 0.0f;
      }
    }
  }
}

/// One block of queries of one head, and its running softmax.
struct QueryBlock {
  const AttentionArgs& a;
  const Layout& layout;
  int64_t first, count;  ///< query positions
  float *scores, *sums, *queries, *top, *total, *tile;

  QueryBlock(const AttentionArgs& args, const Layout& l, int64_t first_query, float* scratch)
      : a(args),
        layout(l),
        first(first_query),
        count(HWY_MIN(kQueryBlock, args.queries - first_query)) {
    scores = scratch;
    sums = scores + kQueryBlock * kKeyBlock;
    queries = sums + kQueryBlock * layout.padded_width;
    top = queries + kQueryBlock * (layout.padded_width + kLanes);
    total = top + RoundUp(kQueryBlock, kLanes);
    tile = total + RoundUp(kQueryBlock, kLanes);
  }

  void Begin(const float* q) {
    const int64_t stride = a.heads * a.head_width;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t d = 0; d < a.head_width; ++d)
        queries[r * layout.padded_width + d] = q[(first + r) * stride + d] * a.scale;
    std::memset(sums, 0, static_cast<size_t>(count * layout.padded_width) * sizeof(float));
    for (int64_t r = 0; r < count; ++r) {
      top[r] = -std::numeric_limits<float>::infinity();
      total[r] = 0.0f;
    }
  }

  /// scores[r][t] = q_r . k_t for the keys [block, block + keys)
  void Score(const float* packed_keys, int64_t block, int64_t keys) {
    const float* rows[kTileRows];
    for (int64_t r = 0; r < count; r += kTileRows) {
      const int64_t rows_here = HWY_MIN(kTileRows, count - r);
      for (int64_t i = 0; i < kTileRows; ++i)
        rows[i] = queries + (r + HWY_MIN(i, rows_here - 1)) * layout.padded_width;
      for (int64_t t = 0; t < keys; t += kPanelWidth) {
        Tile(rows_here, 2, rows, 1, a.head_width, packed_keys + (block + t) * a.head_width, false,
             tile);
        for (int64_t i = 0; i < rows_here; ++i)
          std::memcpy(scores + (r + i) * kKeyBlock + t, tile + i * kPanelWidth,
                      kPanelWidth * sizeof(float));
      }
    }
  }

  /// Turns scores into exp(score - running maximum) and rescales what was summed before.
  void Soften(int64_t block, int64_t keys) {
    const Floats d;
    const int64_t padded = RoundUp(keys, kPanelWidth);
    for (int64_t r = 0; r < count; ++r) {
      float* row = scores + r * kKeyBlock;
      const int64_t visible =
          a.causal ? HWY_MAX(HWY_MIN(keys, first + r + 1 - block), int64_t{0}) : keys;
      for (int64_t t = visible; t < padded; ++t) row[t] = -std::numeric_limits<float>::infinity();
      if (visible == 0) {
        std::memset(row, 0, static_cast<size_t>(padded) * sizeof(float));
        continue;
      }
      Vector best = hn::Set(d, top[r]);
      for (int64_t t = 0; t < padded; t += kLanes) best = hn::Max(best, hn::Load(d, row + t));
      const float new_top = hn::GetLane(hn::MaxOfLanes(d, best));
      const Vector shift = hn::Set(d, new_top);
      Vector sum = hn::Zero(d);
      for (int64_t t = 0; t < padded; t += kLanes) {
        const Vector p = Exp(d, hn::Sub(hn::Load(d, row + t), shift));
        hn::Store(p, d, row + t);
        sum = hn::Add(sum, p);
      }
      const float fade = hn::GetLane(Exp(d, hn::Set(d, top[r] - new_top)));
      total[r] = total[r] * fade + hn::GetLane(hn::SumOfLanes(d, sum));
      top[r] = new_top;
      if (fade == 1.0f) continue;
      float* out = sums + r * layout.padded_width;
      for (int64_t i = 0; i < layout.padded_width; i += kLanes)
        hn::Store(hn::Mul(hn::Load(d, out + i), hn::Set(d, fade)), d, out + i);
    }
  }

  /// sums[r] += scores[r] . V over the block of `keys` values (a block of `rows` packed rows)
  void Gather(const float* values, int64_t keys, int64_t rows) {
    const float* runs[kTileRows];
    for (int64_t r = 0; r < count; r += kTileRows) {
      const int64_t rows_here = HWY_MIN(kTileRows, count - r);
      for (int64_t i = 0; i < kTileRows; ++i)
        runs[i] = scores + (r + HWY_MIN(i, rows_here - 1)) * kKeyBlock;
      const float* panel = values;
      for (int64_t column = 0; column < a.head_width; column += kPanelWidth) {
        const int vectors = PanelVectors(column, a.head_width);
        const int64_t width = vectors * kLanes;
        float* out = sums + r * layout.padded_width + column;
        for (int64_t i = 0; i < rows_here; ++i)
          std::memcpy(tile + i * width, out + i * layout.padded_width,
                      static_cast<size_t>(width) * sizeof(float));
        Tile(rows_here, vectors, runs, 1, keys, panel, true, tile);
        for (int64_t i = 0; i < rows_here; ++i)
          std::memcpy(out + i * layout.padded_width, tile + i * width,
                      static_cast<size_t>(width) * sizeof(float));
        panel += rows * width;
      }
    }
  }

  void End(float* out) const {
    const int64_t stride = a.heads * a.head_width;
    for (int64_t r = 0; r < count; ++r) {
      const float scale = 1.0f / total[r];
      for (int64_t d = 0; d < a.head_width; ++d)
        out[(first + r) * stride + d] = sums[r * layout.padded_width + d] * scale;
    }
  }
};

size_t AttentionScratch(const AttentionArgs& a, int threads) {
  const Layout layout(a);
  return static_cast<size_t>(a.images * a.heads * (layout.packed_keys + layout.packed_values) +
                             threads * RoundUp(layout.per_thread, kPanelWidth));
}

void Attention(const AttentionArgs& a, float* scratch) {
  const Layout layout(a);
  const int64_t pairs = a.images * a.heads;
  float* packed_keys = scratch;
  float* packed_values = packed_keys + pairs * layout.packed_keys;
  float* blocks = packed_values + pairs * layout.packed_values;
  const auto head = [&](int64_t pair, int64_t positions) {
    return pair / a.heads * positions * a.heads * a.head_width + pair % a.heads * a.head_width;
  };
  parallel_for(pairs, [&](int64_t pair, int) HWY_ATTR {
    PackKeys(a, a.k + head(pair, a.keys), packed_keys + pair * layout.packed_keys);
    PackValues(a, layout, a.v + head(pair, a.keys), packed_values + pair * layout.packed_values);
  });

  const int64_t query_blocks = (a.queries + kQueryBlock - 1) / kQueryBlock;
  parallel_for(pairs * query_blocks, [&](int64_t task, int thread) HWY_ATTR {
    const int64_t pair = task / query_blocks, first = task % query_blocks * kQueryBlock;
    QueryBlock block(a, layout, first, blocks + thread * RoundUp(layout.per_thread, kPanelWidth));
    block.Begin(a.q + head(pair, a.queries));
    const float* keys = packed_keys + pair * layout.packed_keys;
    const float* values = packed_values + pair * layout.packed_values;
    const int64_t visible = a.causal ? HWY_MIN(a.keys, first + block.count) : a.keys;
    for (int64_t t = 0; t < visible; t += kKeyBlock) {
      const int64_t count = HWY_MIN(kKeyBlock, visible - t);
      block.Score(keys, t, count);
      block.Soften(t, count);
      block.Gather(values + t * layout.padded_width, count,
                   HWY_MIN(kKeyBlock, layout.padded_keys - t));
    }
    block.End(a.out + head(pair, a.queries));
  });
}

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tintype::cpu {

HWY_EXPORT(AttentionScratch);
HWY_EXPORT(Attention);

void attention(const AttentionArgs& args, Allocator& allocator) {
  if (args.images * args.queries * args.heads * args.head_width == 0) return;
  const size_t floats = HWY_DYNAMIC_DISPATCH(AttentionScratch)(args, thread_count());
  const std::shared_ptr<Storage> scratch = allocator.allocate(floats * sizeof(float));
  HWY_DYNAMIC_DISPATCH(Attention)(args, reinterpret_cast<float*>(scratch->data()));
}

}  // namespace tintype::cpu
#endif
