#include "backend/cpu/int8_attention_head.h"

#if defined(__x86_64__)
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/cpu/int8_tile.h"
#include "backend/cpu/vnni.h"

namespace tintype::cpu {
namespace {

/// Mean over the tokens of each channel; out has whole vectors, zero past the width.
TT_VNNI void means(const AttentionArgs& a, const float* x, float* out) {
  const int64_t stride = a.heads * a.head_width;
  for (int64_t d = 0; d < a.head_width; d += kFloatLanes) {
    const __mmask16 lanes = lanes_at(d, a.head_width);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t t = 0; t < a.keys; ++t)
      sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, x + t * stride + d));
    _mm512_storeu_ps(out + d, _mm512_div_ps(sum, _mm512_set1_ps(static_cast<float>(a.keys))));
  }
}

TT_VNNI void pack_keys(const AttentionArgs& a, const float* k, const PackedHead& head) {
  const int64_t stride = a.heads * a.head_width, quads = head.layout.width_quads;
  const auto padded = static_cast<size_t>(head.layout.padded_width);
  std::vector<float> mean(padded), largest(static_cast<size_t>(a.keys));
  means(a, k, mean.data());
  float top = 0, zeros = 0;
  for (int64_t t = 0; t < a.keys; ++t) {
    const float value = greatest_magnitude(k + t * stride, mean.data(), a.head_width);
    largest[static_cast<size_t>(t)] = value;
    top = std::max(top, value);
    zeros += value - value;  // stays zero unless a value is not finite
  }
  head.finite() = zeros == 0;
  head.key_scale() = head.finite() ? top / 127.0f : 0.0f;
  if (!head.finite()) return;
  const int64_t all_keys = head.layout.padded_keys;
  std::memset(head.keys(), 0, static_cast<size_t>(all_keys * quads * kQuad));
  std::fill_n(head.key_factor(), all_keys, int16_t{0});
  std::fill_n(head.key_shift(), all_keys, 0);
  std::vector<int8_t> row(padded);
  for (int64_t t = 0; t < a.keys; ++t) {
    const float scale = largest[static_cast<size_t>(t)];
    const __m512 inverse = _mm512_set1_ps(scale > 0 ? 127.0f / scale : 0.0f);
    __m512i total = _mm512_setzero_si512();
    for (int64_t d = 0; d < a.head_width; d += kFloatLanes) {
      const __m512 value = centred(k + t * stride + d, mean.data() + d, lanes_at(d, a.head_width));
      const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(value, inverse));
      total = _mm512_add_epi32(total, rounded);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(row.data() + d), _mm512_cvtsepi32_epi8(rounded));
    }
    const int64_t panel = t / kKeyPanel * kKeyPanel, key = t % kKeyPanel;
    int8_t* to = head.keys() + panel * quads * kQuad + key * kQuad;
    for (int64_t quad = 0; quad < quads; ++quad)
      std::memcpy(to + quad * kKeyPanel * kQuad, row.data() + quad * kQuad, kQuad);
    head.key_shift()[t] = -kQueryShift * _mm512_reduce_add_epi32(total);
    const int32_t factor = top > 0 ? round_to_int(scale / top * 32768.0f) : 0;
    head.key_factor()[panel + score_position(key)] = static_cast<int16_t>(std::min(factor, 32767));
  }
}

/// Where the quad of keys `quad` of a group lies among the weights' quads.
int64_t weight_quad(int64_t quad) { return quad % 4 * 4 + quad / 4; }

TT_VNNI void pack_values(const AttentionArgs& a, const float* v, const PackedHead& head) {
  const HeadLayout& layout = head.layout;
  const int64_t stride = a.heads * a.head_width;
  means(a, v, head.value_mean());
  for (int64_t d = 0; d < layout.padded_width; d += kFloatLanes) {
    const __mmask16 lanes = lanes_at(d, a.head_width);
    const float* mean = head.value_mean() + d;
    __m512 largest = _mm512_setzero_ps(), zeros = _mm512_setzero_ps();
    for (int64_t t = 0; t < a.keys; ++t) {
      const __m512 value = centred(v + t * stride + d, mean, lanes);
      largest = _mm512_max_ps(largest, _mm512_abs_ps(value));
      zeros = _mm512_add_ps(zeros, _mm512_sub_ps(value, value));
    }
    if (!(_mm512_reduce_add_ps(zeros) == 0)) head.finite() = 0;
    _mm512_storeu_ps(head.value_scale() + d, _mm512_mul_ps(largest, _mm512_set1_ps(1 / 127.0f)));
    const __mmask16 some = _mm512_cmp_ps_mask(largest, _mm512_setzero_ps(), _CMP_GT_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(127.0f), largest);
    const int64_t column = d / kValuePanel * kValuePanel, width = layout.panel_width(column);
    int8_t* panel = head.values() + column * layout.padded_keys + (d - column) * kKeysOfQuad;
    for (int64_t first = 0; first < layout.padded_keys; first += kKeysOfQuad) {
      __m512i four = _mm512_setzero_si512();
      for (int64_t i = kKeysOfQuad - 1; i >= 0; --i) {
        const int64_t t = first + i;
        const __m512 value =
            t < a.keys ? centred(v + t * stride + d, mean, lanes) : _mm512_setzero_ps();
        const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(value, inverse));
        four = _mm512_or_si512(_mm512_slli_epi32(four, 8),
                               _mm512_and_si512(rounded, _mm512_set1_epi32(0xFF)));
      }
      const int64_t group = first / kKeyGroup * kKeyGroup / kKeysOfQuad;
      const int64_t quad = group + weight_quad(first % kKeyGroup / kKeysOfQuad);
      _mm512_storeu_si512(panel + quad * width * kKeysOfQuad, four);
    }
  }
}

}  // namespace

HeadLayout::HeadLayout(const AttentionArgs& a)
    : width_quads((a.head_width + kQuad - 1) / kQuad),
      padded_width(round_up(a.head_width, kFloatLanes)),
      padded_keys(round_up(a.keys, kKeyGroup)) {
  size_t end = 0;
  const auto take = [&](int64_t count) {
    const size_t here = end;
    end += static_cast<size_t>(round_up(count, 64));
    return here;
  };
  keys = take(padded_keys * width_quads * kQuad);
  key_factor = take(padded_keys * 2);
  key_shift = take(padded_keys * 4);
  values = take(padded_keys * padded_width);
  value_scale = take(padded_width * 4);
  value_mean = take(padded_width * 4);
  key_scale = take(4);
  finite = take(4);
  bytes = end;
}

void pack_head(const AttentionArgs& args, const float* k, const float* v, const PackedHead& head) {
  pack_keys(args, k, head);
  if (head.finite()) pack_values(args, v, head);
}

}  // namespace tintype::cpu
#endif
