#include "backend/cpu/machine_peak.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#include "backend/cpu/isa.h"
#include "backend/cpu/vnni.h"

// Highway 1.0 has no operations for these. Each function is compiled for the instructions it uses
// and runs only where they are.
#define TT_TARGET(features) __attribute__((target(features)))

namespace tintype::cpu {
namespace {

// As Sums512, and for the same reason every loop over such sums is unrolled: kept in memory, they
// would be what is measured.
using Sums256 = int32_t __attribute__((vector_size(32)));

/// Sums that begin alike would be computed once for all; what was hidden may be anything.
template <typename Sums>
__attribute__((always_inline)) inline void hide(Sums& sums) {
  asm volatile("" : "+v"(sums));
}

TT_TARGET("avx512f,avx512vnni") double int8_dot_512(int64_t rounds) {
  const __m512i ones = _mm512_set1_epi8(1);
  Sums512 sums[kPeakSums] = {};
#pragma GCC unroll 12
  for (int i = 0; i < kPeakSums; ++i) hide(sums[i]);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kPeakSums; ++i)
      sums[i] = Sums512(_mm512_dpbusd_epi32(__m512i(sums[i]), ones, ones));
  }
  Sums512 all = {};
#pragma GCC unroll 12
  for (int i = 0; i < kPeakSums; ++i) all += sums[i];
  double total = 0;
  for (int lane = 0; lane < 16; ++lane) total += all[lane];
  return total;
}

TT_TARGET("avx2,avxvnni") double int8_dot_256(int64_t rounds) {
  const __m256i ones = _mm256_set1_epi8(1);
  Sums256 sums[kPeakSums] = {};
#pragma GCC unroll 12
  for (int i = 0; i < kPeakSums; ++i) hide(sums[i]);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kPeakSums; ++i)
      sums[i] = Sums256(_mm256_dpbusd_avx_epi32(__m256i(sums[i]), ones, ones));
  }
  Sums256 all = {};
#pragma GCC unroll 12
  for (int i = 0; i < kPeakSums; ++i) all += sums[i];
  double total = 0;
  for (int lane = 0; lane < 8; ++lane) total += all[lane];
  return total;
}

TT_TARGET("avx512f,avx512bf16") double bf16_dot_512(int64_t rounds) {
  const __m512i bits = _mm512_set1_epi16(0x3F80);  // ones
  const __m512bh ones = reinterpret_cast<__m512bh>(bits);
  __m512 sums[kPeakSums];
  for (int i = 0; i < kPeakSums; ++i) sums[i] = _mm512_setzero_ps();
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kPeakSums; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], ones, ones);
  }
  alignas(64) float lanes[16];
  double total = 0;
  for (int i = 0; i < kPeakSums; ++i) {
    _mm512_store_ps(lanes, sums[i]);
    for (const float lane : lanes) total += lane;
  }
  return total;
}

TT_TARGET("avx512f,avx512bw,avx512vl,avx512fp16,f16c") double f16_fma_512(int64_t rounds) {
  const __m512h ones = _mm512_castsi512_ph(_mm512_set1_epi16(0x3C00));
  __m512h sums[kPeakSums];
  for (int i = 0; i < kPeakSums; ++i) sums[i] = _mm512_setzero_ph();
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kPeakSums; ++i) sums[i] = _mm512_fmadd_ph(ones, ones, sums[i]);
  }
  alignas(64) float lanes[16];
  double total = 0;
  for (int i = 0; i < kPeakSums; ++i) {
    const __m512i bits = _mm512_castph_si512(sums[i]);
    for (const __m256i half : {_mm512_castsi512_si256(bits), _mm512_extracti64x4_epi64(bits, 1)}) {
      _mm512_store_ps(lanes, _mm512_cvtph_ps(half));
      for (const float lane : lanes) total += lane;
    }
  }
  return total;
}

}  // namespace

void add_x86_peak_kernels(std::vector<PeakKernel>& kernels) {
  // TT_CPU_ISA names no set with these and without VNNI.
  if (!vnni_allowed()) return;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0, eax1 = 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return;
  const bool has_f16 = edx >> 23 & 1;
  __get_cpuid_count(7, 1, &eax1, &ebx, &ecx, &edx);
  const bool has_avx_vnni = eax1 >> 4 & 1, has_bf16 = eax1 >> 5 & 1;
  // These ask the system, too, whether it saves the registers.
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512 && has_bf16)
    kernels.push_back({"bf16", "vdpbf16ps", 2 * 32 * kPeakSums, bf16_dot_512});
  if (avx512 && has_f16) kernels.push_back({"f16", "vfmadd ph", 2 * 32 * kPeakSums, f16_fma_512});
  if (avx512 && __builtin_cpu_supports("avx512vnni"))
    kernels.push_back({"int8", "vpdpbusd (512 bit)", 2 * 64 * kPeakSums, int8_dot_512});
  if (__builtin_cpu_supports("avx2") && has_avx_vnni)
    kernels.push_back({"int8", "vpdpbusd (256 bit)", 2 * 32 * kPeakSums, int8_dot_256});
}

}  // namespace tintype::cpu

#else
namespace tintype::cpu {
void add_x86_peak_kernels(std::vector<PeakKernel>&) {}
}  // namespace tintype::cpu
#endif
