/// What the kernels written for AVX-512 VNNI share. Highway 1.0 has no operation for four-way 8-bit
/// dot products, and its instruction set that holds VNNI asks for much that these need not. x86-64
/// only. Internal.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#define TT_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define TT_VNNI_INLINE TT_VNNI __attribute__((always_inline)) inline

namespace tintype::cpu {

/// Sums as 32-bit lanes: an array of __m512i would be kept in memory by GCC 12, whose instructions
/// see it under another element type.
using Sums512 = int32_t __attribute__((vector_size(64)));

/// Four bytes in every lane.
TT_VNNI_INLINE __m512i four_bytes(const void* at) {
  int32_t four;
  std::memcpy(&four, at, sizeof(four));
  return _mm512_set1_epi32(four);
}

}  // namespace tintype::cpu
