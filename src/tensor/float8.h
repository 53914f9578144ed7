/// Scalar conversions from the two 8-bit float formats of checkpoints to f16, which holds every
/// value of both exactly. Storage only: nothing computes with them. source  Micikevicius et al.
/// 2022, arXiv:2209.05433 (e4m3 in its form without infinities)
#pragma once

#include <cstdint>

#include "tensor/float16.h"

namespace tintype {

/// 1 sign, 4 exponent bits with bias 7, 3 mantissa bits; all ones is NaN, there is no infinity.
inline uint16_t f8_e4m3_to_f16(uint8_t bits) {
  const auto sign = static_cast<uint16_t>((bits & 0x80u) << 8);
  const uint32_t magnitude = bits & 0x7Fu;
  if (magnitude == 0x7Fu) return static_cast<uint16_t>(sign | 0x7E00u);
  if (magnitude < 0x08u)  // subnormal: a multiple of 2^-9, normal in f16
    return static_cast<uint16_t>(sign | f32_to_f16(static_cast<float>(magnitude) * 0x1p-9f));
  return static_cast<uint16_t>(sign | ((magnitude << 7) + ((15u - 7u) << 10)));
}

/// f16 without its lower eight mantissa bits.
inline uint16_t f8_e5m2_to_f16(uint8_t bits) { return static_cast<uint16_t>(bits << 8); }

}  // namespace tintype
