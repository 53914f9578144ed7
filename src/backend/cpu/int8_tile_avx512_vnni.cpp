#include "backend/cpu/int8_tile.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

// Highway 1.0 has no operation for four-way 8-bit dot products, and its instruction set that holds
// VNNI asks for much that this needs not.
#define TT_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

namespace tintype::cpu {
namespace {

constexpr int kRows = 12;  // 24 sums, two vectors of weights and a broadcast in 32 registers
constexpr int64_t kVectorBytes = 64;

template <int R>
TT_VNNI void tile(const Int8TileArgs& args) {
  const std::byte* panel = args.panel;
  for (int64_t tap = 0; tap < args.taps; ++tap) {
    const std::byte* const* rows = args.rows + tap * kRows;
    const float* column_sums = reinterpret_cast<const float*>(panel);
    const std::byte* inputs[R];
    for (int r = 0; r < R; ++r) inputs[r] = rows[r] + sizeof(QuantizedRowHeader);
    __m512i dots[R][2];
    for (int r = 0; r < R; ++r) dots[r][0] = dots[r][1] = _mm512_setzero_si512();
    panel += kInt8PanelWidth * sizeof(float);
    for (int64_t quad = 0; quad < args.quads; ++quad, panel += 2 * kVectorBytes) {
      const __m512i left = _mm512_load_si512(panel);
      const __m512i right = _mm512_load_si512(panel + kVectorBytes);
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        int32_t four;
        std::memcpy(&four, inputs[r] + quad * kQuad, sizeof(four));
        const __m512i x = _mm512_set1_epi32(four);
        dots[r][0] = _mm512_dpbusd_epi32(dots[r][0], x, left);
        dots[r][1] = _mm512_dpbusd_epi32(dots[r][1], x, right);
      }
    }
    const bool first = tap == 0 && !args.accumulate;
    for (int half = 0; half < 2; ++half) {
      const __m512 weights = _mm512_load_ps(column_sums + half * 16);
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        QuantizedRowHeader row;
        std::memcpy(&row, rows[r], sizeof(row));
        float* to = args.sums + r * kInt8PanelWidth + half * 16;
        const __m512 before = first ? _mm512_setzero_ps() : _mm512_load_ps(to);
        const __m512 scaled =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r][half]), _mm512_set1_ps(row.scale), before);
        _mm512_store_ps(to, _mm512_fmadd_ps(weights, _mm512_set1_ps(row.offset), scaled));
      }
    }
  }
}

void run(int64_t count, const Int8TileArgs& args) {
  if (count <= 1) return tile<1>(args);
  if (count <= 2) return tile<2>(args);
  if (count <= 6) return tile<6>(args);
  tile<kRows>(args);
}

}  // namespace

Int8Tile int8_tile_avx512_vnni() {
  const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  if (!has) return {};
  return {.name = "AVX-512 VNNI", .rows = kRows, .run = run};
}

}  // namespace tintype::cpu

#else
namespace tintype::cpu {
Int8Tile int8_tile_avx512_vnni() { return {}; }
}  // namespace tintype::cpu
#endif
