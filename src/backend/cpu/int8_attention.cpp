#include "backend/cpu/int8_attention.h"

#include "backend/cpu/int8_tile.h"
#include "backend/cpu/isa.h"

#if defined(__x86_64__)
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "backend/cpu/thread_team.h"
#include "backend/cpu/vnni.h"

namespace tintype::cpu {
namespace {

constexpr int64_t kLanes = 16, kPanel = 32;  // floats of a vector; keys or channels of a panel
constexpr int64_t kRows = 12;                // queries of a tile
constexpr int64_t kTiles = 4;                // tiles that meet a block of keys in the first cache
constexpr int64_t kKeyBlock = 256;
// What unsigned queries have over signed ones, and the greatest rounded probability.
constexpr int32_t kShift = 128;
constexpr float kTop = 255.0f;

int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

/// Extents of one head, and where its parts lie in its scratch.
struct Layout {
  int64_t width_quads, padded_width, padded_keys;
  size_t keys, key_scale, key_shift, values, value_scale, value_mean, finite, bytes;

  explicit Layout(const AttentionArgs& a)
      : width_quads((a.head_width + kQuad - 1) / kQuad),
        padded_width(round_up(a.head_width, kLanes)),
        padded_keys(round_up(a.keys, kPanel)) {
    size_t at = 0;
    const auto take = [&](int64_t count) {
      const size_t here = at;
      at += static_cast<size_t>(round_up(count, 64));
      return here;
    };
    keys = take(padded_keys * width_quads * kQuad);
    key_scale = take(padded_keys * 4);
    key_shift = take(padded_keys * 4);
    values = take(padded_keys * padded_width);
    value_scale = take(padded_width * 4);
    value_mean = take(padded_width * 4);
    finite = take(4);
    bytes = at;
  }
};

/// Channels of the panel of values that starts at `column`.
int64_t panel_width(const Layout& layout, int64_t column) {
  return std::min(kPanel, layout.padded_width - column);
}

/// One head's keys and values, rounded and packed for the products.
struct PackedHead {
  const Layout& layout;
  std::byte* at;

  int8_t* keys() const { return reinterpret_cast<int8_t*>(at + layout.keys); }
  float* key_scale() const { return reinterpret_cast<float*>(at + layout.key_scale); }
  int32_t* key_shift() const { return reinterpret_cast<int32_t*>(at + layout.key_shift); }
  int8_t* values() const { return reinterpret_cast<int8_t*>(at + layout.values); }
  float* value_scale() const { return reinterpret_cast<float*>(at + layout.value_scale); }
  float* value_mean() const { return reinterpret_cast<float*>(at + layout.value_mean); }
  int32_t& finite() const { return *reinterpret_cast<int32_t*>(at + layout.finite); }
};

/// Mean over the tokens of each channel.
void means(const float* x, int64_t tokens, int64_t stride, int64_t width, float* out) {
  std::vector<double> sums(static_cast<size_t>(width));
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t d = 0; d < width; ++d) sums[static_cast<size_t>(d)] += x[t * stride + d];
  for (int64_t d = 0; d < width; ++d)
    out[d] = static_cast<float>(sums[static_cast<size_t>(d)] / static_cast<double>(tokens));
}

int8_t round_to_byte(float x) { return static_cast<int8_t>(round_to_int(x)); }

/// keys [panel][width_quads][kPanel][kQuad], a scale and -kShift * sum for each key.
TT_VNNI void pack_keys(const AttentionArgs& a, const float* k, const PackedHead& head) {
  const int64_t stride = a.heads * a.head_width, quads = head.layout.width_quads;
  std::vector<float> mean(static_cast<size_t>(a.head_width));
  std::vector<float> row(static_cast<size_t>(quads * kQuad), 0.0f);
  means(k, a.keys, stride, a.head_width, mean.data());
  for (int64_t t = 0; t < head.layout.padded_keys; ++t) {
    int8_t* to = head.keys() + t / kPanel * kPanel * quads * kQuad + t % kPanel * kQuad;
    float largest = 0, sum = 0;
    for (int64_t d = 0; d < a.head_width; ++d) {
      const float value = t < a.keys ? k[t * stride + d] - mean[static_cast<size_t>(d)] : 0.0f;
      row[static_cast<size_t>(d)] = value;
      largest = std::max(largest, std::fabs(value));
      sum += value;
    }
    const bool finite = std::isfinite(sum) && std::isfinite(largest);
    if (!finite) head.finite() = 0;
    const float inverse = largest > 0 && finite ? 127.0f / largest : 0.0f;
    int32_t total = 0;
    for (int64_t d = 0; d < quads * kQuad; ++d) {
      const int8_t q = finite ? round_to_byte(row[static_cast<size_t>(d)] * inverse) : int8_t{0};
      to[d / kQuad * kPanel * kQuad + d % kQuad] = q;
      total += q;
    }
    head.key_scale()[t] = largest / 127.0f;
    head.key_shift()[t] = -kShift * total;
  }
}

/// values: column panels [key quads][panel_width][kQuad], keys past the end zero; a scale and a
/// mean for each channel.
TT_VNNI void pack_values(const AttentionArgs& a, const float* v, const PackedHead& head) {
  const int64_t stride = a.heads * a.head_width, padded = head.layout.padded_width;
  std::vector<float> inverse(static_cast<size_t>(padded));
  std::fill_n(head.value_mean(), padded, 0.0f);
  std::fill_n(head.value_scale(), padded, 0.0f);
  means(v, a.keys, stride, a.head_width, head.value_mean());
  for (int64_t t = 0; t < a.keys; ++t)
    for (int64_t d = 0; d < a.head_width; ++d)
      head.value_scale()[d] =
          std::max(head.value_scale()[d], std::fabs(v[t * stride + d] - head.value_mean()[d]));
  for (int64_t d = 0; d < a.head_width; ++d) {
    const float largest = head.value_scale()[d];
    if (!std::isfinite(largest) || !std::isfinite(head.value_mean()[d])) head.finite() = 0;
    inverse[static_cast<size_t>(d)] = largest > 0 ? 127.0f / largest : 0.0f;
    head.value_scale()[d] = largest / 127.0f;
  }
  if (!head.finite()) return;
  std::memset(head.values(), 0, static_cast<size_t>(head.layout.padded_keys * padded));
  for (int64_t column = 0; column < a.head_width; column += kPanel) {
    const int64_t width = panel_width(head.layout, column);
    int8_t* panel = head.values() + column * head.layout.padded_keys;
    for (int64_t t = 0; t < a.keys; ++t) {
      int8_t* to = panel + t / kQuad * width * kQuad + t % kQuad;
      for (int64_t d = column; d < std::min(column + width, a.head_width); ++d)
        to[(d - column) * kQuad] = round_to_byte((v[t * stride + d] - head.value_mean()[d]) *
                                                 inverse[static_cast<size_t>(d)]);
    }
  }
}

/// dots[I] += x[row I / V] . w over `quads`: V vectors a row. `w` advances by V vectors a quad.
template <int V, size_t... I>
TT_VNNI_INLINE void multiply(const uint8_t* x, int64_t row_bytes, int64_t quads, const int8_t* w,
                             Sums512* dots, std::index_sequence<I...>) {
  Sums512 sums[sizeof...(I)] = {dots[I]...};
  for (int64_t quad = 0; quad < quads; ++quad, w += V * 64) {
    __m512i weights[V];
    for (int v = 0; v < V; ++v) weights[v] = _mm512_loadu_si512(w + v * 64);
    ((sums[I] = Sums512(_mm512_dpbusd_epi32(
          __m512i(sums[I]), four_bytes(x + static_cast<int64_t>(I / V) * row_bytes + quad * kQuad),
          weights[I % V]))),
     ...);
  }
  ((dots[I] = sums[I]), ...);
}

/// 2^x to 5e-6 of it, for x <= 8; what would be below 2^-126 is about that.
TT_VNNI_INLINE __m512 exp2(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-126.0f));
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, n);
  // Taylor coefficients ln2^i / i!; |f| <= 1/2.
  __m512 p = _mm512_set1_ps(9.6181291e-3f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.5504109e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4022651e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9314718e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

/// What one thread works in.
struct Scratch {
  alignas(64) float scores[kRows][kKeyBlock];
  alignas(64) uint8_t weights[kRows][kKeyBlock];
  alignas(64) float block_top[kLanes], block_total[kLanes];  ///< a lane for each row of a tile
  alignas(64) float fade[kLanes], share[kLanes];
  alignas(64) float query_scale[kTiles][kLanes], top[kTiles][kLanes], total[kTiles][kLanes];
};

class QueryBlock {
 public:
  QueryBlock(const AttentionArgs& args, const Layout& layout, const PackedHead& head,
             std::byte* memory)
      : a_(args),
        layout_(layout),
        head_(head),
        scratch_(*reinterpret_cast<Scratch*>(memory)),
        queries_(reinterpret_cast<uint8_t*>(memory + sizeof(Scratch))),
        sums_(reinterpret_cast<float*>(memory + sizeof(Scratch) + query_bytes(layout))) {}

  static size_t query_bytes(const Layout& layout) {
    return static_cast<size_t>(round_up(kTiles * kRows * layout.width_quads * kQuad, 64));
  }
  static size_t bytes(const Layout& layout) {
    return sizeof(Scratch) + query_bytes(layout) +
           static_cast<size_t>(kTiles * kRows * layout.padded_width) * sizeof(float);
  }

  TT_VNNI void run(const float* q, int64_t first, float* out) {
    const int64_t count = std::min(kTiles * kRows, a_.queries - first);
    const int64_t stride = a_.heads * a_.head_width;
    begin(q + first * stride, count);
    for (int64_t key = 0; key < a_.keys; key += kKeyBlock) {
      const int64_t keys = std::min(kKeyBlock, a_.keys - key);
      for (int64_t tile = 0; tile * kRows < count; ++tile) {
        score(tile, key, keys);
        for (int64_t row = 0; row < kRows; ++row) soften(row, keys);
        carry(tile);
        gather(tile, key, keys);
      }
    }
    end(out + first * stride, count);
  }

 private:
  int64_t row_bytes() const { return layout_.width_quads * kQuad; }

  /// Rounds the queries; scores come out in powers of two.
  TT_VNNI void begin(const float* q, int64_t count) {
    constexpr float kLog2E = 1.44269504f;
    std::memset(queries_, kShift, query_bytes(layout_));
    std::memset(sums_, 0,
                static_cast<size_t>(kTiles * kRows * layout_.padded_width) * sizeof(float));
    for (int64_t tile = 0; tile < kTiles; ++tile)
      for (int64_t row = 0; row < kLanes; ++row) {
        scratch_.query_scale[tile][row] = 0;
        scratch_.top[tile][row] = -std::numeric_limits<float>::max();
        scratch_.total[tile][row] = 0;
      }
    for (int64_t r = 0; r < count; ++r) {
      const float* from = q + r * a_.heads * a_.head_width;
      float largest = 0, zeros = 0;
      for (int64_t d = 0; d < a_.head_width; ++d) {
        largest = std::max(largest, std::fabs(from[d]));
        zeros += from[d] - from[d];  // stays zero unless a value is not finite
      }
      const bool finite = zeros == 0 && std::isfinite(largest);
      const float inverse = finite && largest > 0 ? 127.0f / largest : 0.0f;
      scratch_.query_scale[r / kRows][r % kRows] =
          finite ? largest / 127.0f * a_.scale * kLog2E : NAN;
      uint8_t* to = queries_ + r * row_bytes();
      if (finite)
        for (int64_t d = 0; d < a_.head_width; ++d)
          to[d] = static_cast<uint8_t>(kShift + round_to_int(from[d] * inverse));
    }
  }

  /// scores[row][t] = log2(e) * scale * q_row . k_t for the keys of a block.
  TT_VNNI void score(int64_t tile, int64_t key, int64_t keys) {
    for (int64_t t = 0; t < keys; t += kPanel)
      score_panel(tile, key + t, t, std::make_index_sequence<2 * kRows>());
  }

  template <size_t... I>
  TT_VNNI_INLINE void score_panel(int64_t tile, int64_t key, int64_t at,
                                  std::index_sequence<I...> pack) {
    const int32_t* shift = head_.key_shift() + key;
    const Sums512 start[2] = {Sums512(_mm512_loadu_si512(shift)),
                              Sums512(_mm512_loadu_si512(shift + 16))};
    Sums512 dots[sizeof...(I)] = {start[I % 2]...};
    multiply<2>(queries_ + tile * kRows * row_bytes(), row_bytes(), layout_.width_quads,
                head_.keys() + key * row_bytes(), dots, pack);
    const float* scale = head_.key_scale() + key;
    const __m512 scales[2] = {_mm512_loadu_ps(scale), _mm512_loadu_ps(scale + 16)};
    (_mm512_store_ps(
         scratch_.scores[I / 2] + at + I % 2 * 16,
         _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(__m512i(dots[I])), scales[I % 2]),
                       _mm512_set1_ps(scratch_.query_scale[tile][I / 2]))),
     ...);
  }

  /// One row of scores to weights, rounded to 8 bits of its greatest.
  TT_VNNI void soften(int64_t row, int64_t keys) {
    const float* scores = scratch_.scores[row];
    const int64_t vectors = (keys + kLanes - 1) / kLanes;
    const int64_t last = keys - (vectors - 1) * kLanes;
    const __mmask16 real = static_cast<__mmask16>((1u << last) - 1u);
    const __m512 never = _mm512_set1_ps(-std::numeric_limits<float>::max());
    __m512 top = never;
    for (int64_t v = 0; v + 1 < vectors; ++v)
      top = _mm512_max_ps(top, _mm512_load_ps(scores + v * kLanes));
    const __m512 end =
        _mm512_mask_mov_ps(never, real, _mm512_load_ps(scores + (vectors - 1) * kLanes));
    const float greatest = _mm512_reduce_max_ps(_mm512_max_ps(top, end));
    const __m512 down = _mm512_set1_ps(greatest - std::log2(kTop));
    __m512i total = _mm512_setzero_si512();
    uint8_t* weights = scratch_.weights[row];
    for (int64_t v = 0; v < vectors; ++v) {
      const __m512 score = v + 1 < vectors ? _mm512_load_ps(scores + v * kLanes) : end;
      const __m512i weight = _mm512_cvtps_epi32(exp2(_mm512_sub_ps(score, down)));
      total = _mm512_add_epi32(total, weight);
      _mm_store_si128(reinterpret_cast<__m128i*>(weights + v * kLanes),
                      _mm512_cvtusepi32_epi8(weight));
    }
    if (vectors % 2) std::memset(weights + vectors * kLanes, 0, kLanes);
    scratch_.block_top[row] = greatest;
    scratch_.block_total[row] = static_cast<float>(_mm512_reduce_add_epi32(total));
  }

  /// Folds a block's greatest scores and sums into those of the blocks before.
  TT_VNNI void carry(int64_t tile) {
    const __m512 before = _mm512_load_ps(scratch_.top[tile]);
    const __m512 block = _mm512_load_ps(scratch_.block_top);
    const __m512 top = _mm512_max_ps(before, block);
    const __m512 fade = exp2(_mm512_sub_ps(before, top));
    const __m512 share = exp2(_mm512_sub_ps(block, top));
    const __m512 total = _mm512_mul_ps(share, _mm512_load_ps(scratch_.block_total));
    _mm512_store_ps(scratch_.total[tile],
                    _mm512_fmadd_ps(_mm512_load_ps(scratch_.total[tile]), fade, total));
    _mm512_store_ps(scratch_.top[tile], top);
    _mm512_store_ps(scratch_.fade, fade);
    _mm512_store_ps(scratch_.share, share);
  }

  /// sums[row] = sums[row] * fade + share * weights[row] . V over the block.
  TT_VNNI void gather(int64_t tile, int64_t key, int64_t keys) {
    for (int64_t column = 0; column < layout_.padded_width; column += kPanel) {
      const int64_t width = panel_width(layout_, column);
      const int8_t* panel = head_.values() + column * layout_.padded_keys + key * width;
      const int64_t quads = (keys + kQuad - 1) / kQuad;
      float* sums = sums_ + tile * kRows * layout_.padded_width + column;
      if (width == kPanel)
        gather_panel<2>(quads, panel, sums, std::make_index_sequence<2 * kRows>());
      else
        gather_panel<1>(quads, panel, sums, std::make_index_sequence<kRows>());
    }
  }

  template <int V, size_t... I>
  TT_VNNI_INLINE void gather_panel(int64_t quads, const int8_t* panel, float* sums,
                                   std::index_sequence<I...> pack) {
    Sums512 dots[sizeof...(I)] = {(static_cast<void>(I), Sums512{})...};
    multiply<V>(scratch_.weights[0], kKeyBlock, quads, panel, dots, pack);
    const auto add = [&](Sums512 dot, size_t row, float* at) TT_VNNI {
      const __m512 faded = _mm512_mul_ps(_mm512_loadu_ps(at), _mm512_set1_ps(scratch_.fade[row]));
      _mm512_storeu_ps(at, _mm512_fmadd_ps(_mm512_cvtepi32_ps(__m512i(dot)),
                                           _mm512_set1_ps(scratch_.share[row]), faded));
    };
    (add(dots[I], I / V,
         sums + static_cast<int64_t>(I / V) * layout_.padded_width +
             static_cast<int64_t>(I % V) * kLanes),
     ...);
  }

  void end(float* out, int64_t count) const {
    for (int64_t r = 0; r < count; ++r) {
      const int64_t tile = r / kRows, row = r % kRows;
      float* to = out + r * a_.heads * a_.head_width;
      const bool finite = head_.finite() && std::isfinite(scratch_.query_scale[tile][row]);
      const float inverse = finite ? 1.0f / scratch_.total[tile][row] : NAN;
      const float* sums = sums_ + r * layout_.padded_width;
      for (int64_t d = 0; d < a_.head_width; ++d)
        to[d] = sums[d] * inverse * head_.value_scale()[d] + head_.value_mean()[d];
    }
  }

  const AttentionArgs& a_;
  const Layout& layout_;
  const PackedHead& head_;
  Scratch& scratch_;
  uint8_t* queries_;  ///< [kTiles * kRows][row_bytes]
  float* sums_;       ///< [kTiles * kRows][padded_width]
};

}  // namespace

bool has_int8_attention() { return vnni_allowed() && int8_tile_avx512_vnni().rows > 0; }

void int8_attention(const AttentionArgs& a, Allocator& allocator) {
  if (a.images * a.queries * a.heads * a.head_width == 0) return;
  const Layout layout(a);
  const size_t per_thread =
      static_cast<size_t>(round_up(static_cast<int64_t>(QueryBlock::bytes(layout)), 64));
  const int64_t pairs = a.images * a.heads;
  const std::shared_ptr<Storage> memory = allocator.allocate(
      static_cast<size_t>(pairs) * layout.bytes + static_cast<size_t>(thread_count()) * per_thread);
  std::byte* blocks = memory->data() + static_cast<size_t>(pairs) * layout.bytes;
  const auto head_of = [&](int64_t pair) {
    return PackedHead{layout, memory->data() + static_cast<size_t>(pair) * layout.bytes};
  };
  const auto offset = [&](int64_t pair, int64_t positions) {
    return (pair / a.heads * positions * a.heads + pair % a.heads) * a.head_width;
  };
  parallel_for(pairs, [&](int64_t pair, int) {
    const PackedHead head = head_of(pair);
    head.finite() = 1;
    pack_keys(a, a.k + offset(pair, a.keys), head);
    pack_values(a, a.v + offset(pair, a.keys), head);
  });
  constexpr int64_t kQueries = kTiles * kRows;
  const int64_t query_blocks = (a.queries + kQueries - 1) / kQueries;
  parallel_for(pairs * query_blocks, [&](int64_t task, int thread) {
    const int64_t pair = task / query_blocks, first = task % query_blocks * kQueries;
    const PackedHead head = head_of(pair);
    QueryBlock block(a, layout, head, blocks + static_cast<size_t>(thread) * per_thread);
    block.run(a.q + offset(pair, a.queries), first, a.out + offset(pair, a.queries));
  });
}

}  // namespace tintype::cpu

#else
namespace tintype::cpu {
bool has_int8_attention() { return false; }
void int8_attention(const AttentionArgs& args, Allocator& allocator) { attention(args, allocator); }
}  // namespace tintype::cpu
#endif
