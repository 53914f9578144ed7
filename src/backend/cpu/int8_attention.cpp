#include "backend/cpu/int8_attention.h"

#include "backend/cpu/int8_tile.h"
#include "backend/cpu/isa.h"

#if defined(__x86_64__)
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "backend/cpu/int8_attention_head.h"
#include "backend/cpu/thread_team.h"
#include "backend/cpu/vnni.h"

namespace tintype::cpu {
namespace {

constexpr int64_t kRows = 12;  // queries of a tile
constexpr int64_t kTiles = 4;  // tiles that meet a block of keys in the first-level cache
constexpr int64_t kKeyBlock = 256;
constexpr int32_t kTop = 255;         // the greatest rounded weight
constexpr int32_t kOctaveSteps = 64;  // steps of the exponent that a factor of two is cut into

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

/// 2 * kTop * 2^(-i / kOctaveSteps): twice the weights, so that the last bit can be rounded.
struct OctaveTable {
  alignas(64) std::array<uint16_t, kOctaveSteps> values;
  OctaveTable() {
    for (int32_t i = 0; i < kOctaveSteps; ++i)
      values[static_cast<size_t>(i)] =
          static_cast<uint16_t>(std::lround(2 * kTop * std::exp2(-double{1} * i / kOctaveSteps)));
  }
};
const OctaveTable octave_table;

/// The lanes of the first n keys of a panel.
constexpr auto kLanesOf = [] {
  std::array<uint32_t, kKeyPanel + 1> lanes = {};
  for (size_t n = 0; n < kKeyPanel; ++n)
    lanes[n + 1] = lanes[n] | 1u << score_position(static_cast<int64_t>(n));
  return lanes;
}();

/// How far sums of `width` products are shifted to fit 16 bits.
int score_shift(int64_t width) {
  int shift = 0;
  while (width * 127 * 127 >> shift > 32767) ++shift;
  return shift;
}

/// From steps of a row's 16-bit scores to steps of its exponent: t = (distance * 2^doublings) *
/// multiplier >> 16.
struct Slope {
  uint16_t multiplier = 0;
  int doublings = 0;

  Slope() = default;
  /// `octaves` a step of the scores. So steep a softmax that doublings saturate sees its greatest
  /// alone.
  explicit Slope(float octaves) {
    float steps = octaves * kOctaveSteps * 65536.0f;
    for (; steps > 65535.0f && doublings < 16; ++doublings) steps *= 0.5f;
    multiplier = static_cast<uint16_t>(std::min(steps, 65535.0f) + 0.5f);
  }
};

/// What one thread works in.
struct Scratch {
  alignas(64) int16_t scores[kRows][kKeyBlock];
  alignas(64) uint8_t weights[kRows][kKeyBlock];
  // A lane for each row of a tile.
  alignas(64) float block_top[kFloatLanes], block_total[kFloatLanes];
  alignas(64) float fade[kFloatLanes], share[kFloatLanes];
  /// Octaves that a step of the scores is; NaN for a query that is not finite.
  alignas(64) float octaves[kTiles][kFloatLanes];
  alignas(64) float top[kTiles][kFloatLanes], total[kTiles][kFloatLanes];
  Slope slopes[kTiles][kRows];
};

class QueryBlock {
 public:
  QueryBlock(const AttentionArgs& args, const HeadLayout& layout, const PackedHead& head,
             std::byte* memory)
      : a_(args),
        layout_(layout),
        head_(head),
        shift_(score_shift(args.head_width)),
        scratch_(*reinterpret_cast<Scratch*>(memory)),
        queries_(reinterpret_cast<uint8_t*>(memory + sizeof(Scratch))),
        sums_(reinterpret_cast<float*>(memory + sizeof(Scratch) + query_bytes(layout))) {}

  static size_t query_bytes(const HeadLayout& layout) {
    return static_cast<size_t>(round_up(kTiles * kRows * layout.width_quads * kQuad, 64));
  }
  static size_t bytes(const HeadLayout& layout) {
    return sizeof(Scratch) + query_bytes(layout) +
           static_cast<size_t>(kTiles * kRows * layout.padded_width) * sizeof(float);
  }

  TT_VNNI void run(const float* q, int64_t first, float* out) {
    const int64_t count = std::min(kTiles * kRows, a_.queries - first);
    const int64_t stride = a_.heads * a_.head_width;
    begin(q + first * stride, count);
    for (int64_t key = 0; key < a_.keys; key += kKeyBlock) {
      const int64_t keys = std::min(kKeyBlock, layout_.padded_keys - key);
      const bool full = key + keys <= a_.keys;
      for (int64_t tile = 0; tile * kRows < count; ++tile) {
        score(tile, key, keys);
        for (int64_t row = 0; row < kRows; ++row)
          full ? soften<true>(tile, row, key, keys) : soften<false>(tile, row, key, keys);
        carry(tile);
        gather(tile, key, keys);
      }
    }
    end(out + first * stride, count);
  }

 private:
  int64_t row_bytes() const { return layout_.width_quads * kQuad; }

  /// Rounds the queries.
  TT_VNNI void begin(const float* q, int64_t count) {
    constexpr float kLog2E = 1.44269504f;
    std::memset(queries_, kQueryShift, query_bytes(layout_));
    std::memset(sums_, 0,
                static_cast<size_t>(kTiles * kRows * layout_.padded_width) * sizeof(float));
    for (int64_t tile = 0; tile < kTiles; ++tile) {
      std::fill_n(scratch_.octaves[tile], kFloatLanes, 0.0f);
      std::fill_n(scratch_.top[tile], kFloatLanes, -std::numeric_limits<float>::max());
      std::fill_n(scratch_.total[tile], kFloatLanes, 0.0f);
      std::fill_n(scratch_.slopes[tile], kRows, Slope());
    }
    for (int64_t r = 0; r < count; ++r) {
      const float* from = q + r * a_.heads * a_.head_width;
      const float largest = greatest_magnitude(from, nullptr, a_.head_width);
      const float octaves = largest / 127.0f * head_.key_scale() * std::fabs(a_.scale) * kLog2E *
                            static_cast<float>(int32_t{1} << shift_);
      const bool finite = std::isfinite(octaves);
      scratch_.octaves[r / kRows][r % kRows] = finite ? octaves : NAN;
      if (!finite) continue;
      scratch_.slopes[r / kRows][r % kRows] = Slope(octaves);
      const float inverse = largest > 0 ? std::copysign(127.0f / largest, a_.scale) : 0.0f;
      round_query(from, inverse, queries_ + r * row_bytes());
    }
  }

  TT_VNNI void round_query(const float* q, float inverse, uint8_t* out) const {
    for (int64_t d = 0; d < a_.head_width; d += kFloatLanes) {
      const __mmask16 lanes = lanes_at(d, a_.head_width);
      const __m512i rounded = _mm512_cvtps_epi32(
          _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, q + d), _mm512_set1_ps(inverse)));
      _mm512_mask_cvtepi32_storeu_epi8(out + d, lanes,
                                       _mm512_add_epi32(rounded, _mm512_set1_epi32(kQueryShift)));
    }
  }

  /// scores[row][t]: q_row . k_t in 16 bits for the keys of a block.
  TT_VNNI void score(int64_t tile, int64_t key, int64_t keys) {
    for (int64_t t = 0; t < keys; t += kKeyPanel)
      score_panel(tile, key + t, t, std::make_index_sequence<2 * kRows>(),
                  std::make_index_sequence<kRows>());
  }

  template <size_t... I, size_t... R>
  TT_VNNI_INLINE void score_panel(int64_t tile, int64_t key, int64_t at,
                                  std::index_sequence<I...> vectors, std::index_sequence<R...>) {
    const int32_t* shift = head_.key_shift() + key;
    const Sums512 start[2] = {Sums512(_mm512_loadu_si512(shift)),
                              Sums512(_mm512_loadu_si512(shift + kFloatLanes))};
    Sums512 dots[sizeof...(I)] = {start[I % 2]...};
    multiply<2>(queries_ + tile * kRows * row_bytes(), row_bytes(), layout_.width_quads,
                head_.keys() + key * row_bytes(), dots, vectors);
    const __m128i places = _mm_cvtsi32_si128(shift_);
    const __m512i factor = _mm512_loadu_si512(head_.key_factor() + key);
    (_mm512_store_si512(
         scratch_.scores[R] + at,
         _mm512_mulhrs_epi16(_mm512_packs_epi32(_mm512_sra_epi32(__m512i(dots[2 * R]), places),
                                                _mm512_sra_epi32(__m512i(dots[2 * R + 1]), places)),
                             factor)),
     ...);
  }

  /// The lanes of a panel's scores that belong to keys; the others follow the last key.
  TT_VNNI_INLINE __mmask32 real_lanes(int64_t key) const {
    return kLanesOf[static_cast<size_t>(std::clamp<int64_t>(a_.keys - key, 0, kKeyPanel))];
  }

  /// One row of scores to weights, rounded to 8 bits of its greatest. kFull: all keys are real.
  template <bool kFull>
  TT_VNNI_INLINE void soften(int64_t tile, int64_t row, int64_t key, int64_t keys) {
    constexpr int64_t kScores = 32;
    const int16_t* scores = scratch_.scores[row];
    const auto load = [&](int64_t t) TT_VNNI {
      const __m512i value = _mm512_load_si512(scores + t);
      if constexpr (kFull) return value;
      return _mm512_mask_mov_epi16(_mm512_set1_epi16(-32768), real_lanes(key + t), value);
    };
    __m512i top = load(0);
    for (int64_t t = kScores; t < keys; t += kScores) top = _mm512_max_epi16(top, load(t));
    const int16_t greatest = greatest_of(top);
    const Slope slope = scratch_.slopes[tile][row];
    const __m512i from = _mm512_set1_epi16(greatest);
    const __m512i multiplier = _mm512_set1_epi16(static_cast<int16_t>(slope.multiplier));
    const __m512i table[2] = {_mm512_load_si512(octave_table.values.data()),
                              _mm512_load_si512(octave_table.values.data() + kScores)};
    const auto weigh = [&](int64_t t) TT_VNNI {
      __m512i distance = _mm512_sub_epi16(from, load(t));  // unsigned
      for (int i = 0; i < slope.doublings; ++i) distance = _mm512_adds_epu16(distance, distance);
      const __m512i steps = _mm512_mulhi_epu16(distance, multiplier);
      // The table sees the steps within an octave, the shift whole octaves.
      const __m512i twice = _mm512_srlv_epi16(_mm512_permutex2var_epi16(table[0], steps, table[1]),
                                              _mm512_srli_epi16(steps, 6));
      const __m512i weight = _mm512_avg_epu16(twice, _mm512_setzero_si512());
      if constexpr (kFull) return weight;
      return _mm512_maskz_mov_epi16(real_lanes(key + t), weight);
    };
    static_assert(kOctaveSteps == 1 << 6);
    __m512i total = _mm512_setzero_si512();
    for (int64_t t = 0; t < keys; t += kKeyGroup) {
      const __m512i weights = _mm512_packus_epi16(weigh(t), weigh(t + kScores));
      total = _mm512_dpbusd_epi32(total, weights, _mm512_set1_epi8(1));
      _mm512_store_si512(scratch_.weights[row] + t, weights);
    }
    scratch_.block_top[row] = static_cast<float>(greatest) * scratch_.octaves[tile][row];
    scratch_.block_total[row] = static_cast<float>(_mm512_reduce_add_epi32(total));
  }

  TT_VNNI_INLINE static int16_t greatest_of(__m512i x) {
    const __m256i half =
        _mm256_max_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    const __m128i quarter =
        _mm_max_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    // The instruction finds the least of unsigned numbers.
    const __m128i flip = _mm_set1_epi16(32767);
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(quarter, flip));
    return static_cast<int16_t>(_mm_cvtsi128_si32(_mm_xor_si128(least, flip)));
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
    for (int64_t column = 0; column < layout_.padded_width; column += kValuePanel) {
      const int64_t width = layout_.panel_width(column), quads = keys / kKeysOfQuad;
      const int8_t* panel = head_.values() + column * layout_.padded_keys + key * width;
      float* sums = sums_ + tile * kRows * layout_.padded_width + column;
      if (width == kValuePanel)
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
             static_cast<int64_t>(I % V) * kFloatLanes),
     ...);
  }

  void end(float* out, int64_t count) const {
    for (int64_t r = 0; r < count; ++r) {
      const int64_t tile = r / kRows, row = r % kRows;
      float* to = out + r * a_.heads * a_.head_width;
      const bool finite = head_.finite() && std::isfinite(scratch_.octaves[tile][row]);
      const float inverse = finite ? 1.0f / scratch_.total[tile][row] : NAN;
      const float* sums = sums_ + r * layout_.padded_width;
      for (int64_t d = 0; d < a_.head_width; ++d)
        to[d] = sums[d] * inverse * head_.value_scale()[d] + head_.value_mean()[d];
    }
  }

  const AttentionArgs& a_;
  const HeadLayout& layout_;
  const PackedHead& head_;
  const int shift_;
  Scratch& scratch_;
  uint8_t* queries_;  ///< [kTiles * kRows][row_bytes]
  float* sums_;       ///< [kTiles * kRows][padded_width]
};

}  // namespace

bool has_int8_attention() { return vnni_allowed() && int8_tile_avx512_vnni().rows > 0; }

void int8_attention(const AttentionArgs& a, Allocator& allocator) {
  if (a.images * a.queries * a.heads * a.head_width == 0) return;
  const HeadLayout layout(a);
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
    pack_head(a, a.k + offset(pair, a.keys), a.v + offset(pair, a.keys), head_of(pair));
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
