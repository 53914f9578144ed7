/// One head's keys and values as 8-bit attention multiplies them. x86-64 with AVX-512 VNNI only.
/// Thread-safe: no state. Internal.
///
/// Scores of 32 keys lie in one register as the 16-bit packing instruction leaves them, weights of
/// 64 keys as the 8-bit one does: both interleave within 128-bit lanes. What meets them is stored
/// in that order here, so that nothing is ever put back in order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/attention.h"
#include "backend/cpu/vnni.h"

namespace tintype::cpu {

inline constexpr int64_t kFloatLanes = 16;   ///< floats of a vector
inline constexpr int64_t kKeyPanel = 32;     ///< keys that are scored at a time
inline constexpr int64_t kKeyGroup = 64;     ///< keys whose weights fill a vector of bytes
inline constexpr int64_t kValuePanel = 32;   ///< channels that are gathered at a time
inline constexpr int32_t kQueryShift = 128;  ///< what unsigned queries have over signed ones
inline constexpr int64_t kKeysOfQuad = 4;

inline int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

/// Extents of one head, and where its parts lie in its memory.
struct HeadLayout {
  int64_t width_quads, padded_width, padded_keys;
  size_t keys, key_factor, key_shift, values, value_scale, value_mean, key_scale, finite, bytes;

  explicit HeadLayout(const AttentionArgs& args);

  /// Channels of the panel of values that starts at `column`.
  int64_t panel_width(int64_t column) const { return std::min(kValuePanel, padded_width - column); }
};

struct PackedHead {
  const HeadLayout& layout;
  std::byte* at;

  /// [panel][width_quads][kKeyPanel][4]; keys past the end are zero.
  int8_t* keys() const { return reinterpret_cast<int8_t*>(at + layout.keys); }
  /// A key's scale as a part of key_scale(), 15 bits after the point; in the order of scores.
  int16_t* key_factor() const { return reinterpret_cast<int16_t*>(at + layout.key_factor); }
  /// -kQueryShift times the sum of a key, in the order of keys.
  int32_t* key_shift() const { return reinterpret_cast<int32_t*>(at + layout.key_shift); }
  /// Column panels [group][quad of keys in the order of weights][panel_width][4].
  int8_t* values() const { return reinterpret_cast<int8_t*>(at + layout.values); }
  float* value_scale() const { return reinterpret_cast<float*>(at + layout.value_scale); }
  float* value_mean() const { return reinterpret_cast<float*>(at + layout.value_mean); }
  float& key_scale() const { return *reinterpret_cast<float*>(at + layout.key_scale); }
  int32_t& finite() const { return *reinterpret_cast<int32_t*>(at + layout.finite); }
};

/// The lanes of the vector at channel `d` that a head of `width` channels has.
TT_VNNI_INLINE __mmask16 lanes_at(int64_t d, int64_t width) {
  return width - d >= kFloatLanes ? __mmask16{0xFFFF}
                                  : static_cast<__mmask16>((1u << (width - d)) - 1u);
}

TT_VNNI_INLINE __m512 centred(const float* x, const float* mean, __mmask16 lanes) {
  return _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, x), _mm512_maskz_loadu_ps(lanes, mean));
}

/// Greatest magnitude of a token, less `mean` unless that is null; NaN unless all of it is finite.
TT_VNNI_INLINE float greatest_magnitude(const float* x, const float* mean, int64_t width) {
  __m512 largest = _mm512_setzero_ps(), zeros = _mm512_setzero_ps();
  for (int64_t d = 0; d < width; d += kFloatLanes) {
    const __mmask16 lanes = lanes_at(d, width);
    const __m512 value =
        mean ? centred(x + d, mean + d, lanes) : _mm512_maskz_loadu_ps(lanes, x + d);
    largest = _mm512_max_ps(largest, _mm512_abs_ps(value));
    zeros = _mm512_add_ps(zeros, _mm512_sub_ps(value, value));
  }
  return _mm512_reduce_max_ps(largest) + _mm512_reduce_add_ps(zeros);
}

/// Where the score of key `key` of a panel lies in its register.
constexpr int64_t score_position(int64_t key) { return key % 16 / 4 * 8 + key / 16 * 4 + key % 4; }

/// k and v at the first token of the head. head.finite() is 0 where either holds a value that
/// is not a finite number; the rest of the head but for its key_scale() is undefined then.
void pack_head(const AttentionArgs& args, const float* k, const float* v, const PackedHead& head);

}  // namespace tintype::cpu
