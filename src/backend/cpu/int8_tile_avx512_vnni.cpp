#include "backend/cpu/int8_tile.h"

#if defined(__x86_64__)
#include <cstring>
#include <utility>

#include "backend/cpu/vnni.h"

namespace tintype::cpu {
namespace {

constexpr int kRows = 12;  // 24 sums, two vectors of weights and a broadcast in 32 registers
constexpr int64_t kVectorBytes = 64;

/// sums (+)= scale * dots + offset * column sums, of one vector of columns of one row.
TT_VNNI_INLINE void add_tap(__m512i dots, const std::byte* row, __m512 column_sums, bool first,
                            float* sums) {
  Int8RowHeader header;
  std::memcpy(&header, row, sizeof(header));
  const __m512 before = first ? _mm512_setzero_ps() : _mm512_load_ps(sums);
  const __m512 scaled =
      _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_set1_ps(header.scale), before);
  _mm512_store_ps(sums, _mm512_fmadd_ps(column_sums, _mm512_set1_ps(header.offset), scaled));
}

/// I: vectors of sums, NV a row. Spelled out by the pack so that all stay in registers.
template <size_t NV, size_t... I>
TT_VNNI void tile(const Int8TileArgs& args, std::index_sequence<I...>) {
  const std::byte* panel = args.panel;
  for (int64_t tap = 0; tap < args.taps; ++tap) {
    const std::byte* const* rows = args.rows + tap * kRows;
    const float* column_sums = reinterpret_cast<const float*>(panel);
    const std::byte* inputs[] = {(rows[I / NV] + sizeof(Int8RowHeader))...};
    Sums512 dots[sizeof...(I)] = {(static_cast<void>(I), Sums512{})...};
    panel += kInt8PanelWidth * sizeof(float);
    for (int64_t quad = 0; quad < args.quads; ++quad, panel += 2 * kVectorBytes) {
      const __m512i weights[2] = {_mm512_load_si512(panel),
                                  _mm512_load_si512(panel + (NV - 1) * kVectorBytes)};
      ((dots[I] = Sums512(_mm512_dpbusd_epi32(
            __m512i(dots[I]), four_bytes(inputs[I / NV * NV] + quad * kQuad), weights[I % NV]))),
       ...);
    }
    const bool first = tap == 0 && !args.accumulate;
    const __m512 weight_sums[2] = {_mm512_load_ps(column_sums), _mm512_load_ps(column_sums + 16)};
    (add_tap(__m512i(dots[I]), rows[I / NV], weight_sums[I % NV], first,
             args.sums + I / NV * kInt8PanelWidth + I % NV * 16),
     ...);
  }
}

template <size_t R>
void rows_of(const Int8TileArgs& args) {
  // Adapters' first products have few columns.
  if (args.columns <= kInt8PanelWidth / 2) return tile<1>(args, std::make_index_sequence<R>());
  tile<2>(args, std::make_index_sequence<2 * R>());
}

void run(int64_t count, const Int8TileArgs& args) {
  if (count <= 1) return rows_of<1>(args);
  if (count <= 2) return rows_of<2>(args);
  if (count <= 6) return rows_of<6>(args);
  rows_of<kRows>(args);
}

}  // namespace

Int8Tile int8_tile_avx512_vnni() {
  const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vnni");
  if (!has) return {};
  return {.name = "AVX-512 VNNI", .rows = kRows, .run = run};
}

}  // namespace tintype::cpu

#else
namespace tintype::cpu {
Int8Tile int8_tile_avx512_vnni() { return {}; }
}  // namespace tintype::cpu
#endif
