/// The register tile that all products share: R rows times NV vectors of columns. Compiled once per
/// instruction set; see hwy/foreach_target.h. Internal.
#if defined(TINTYPE_BACKEND_CPU_PRODUCT_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINTYPE_BACKEND_CPU_PRODUCT_TILE_INL_H_
#undef TINTYPE_BACKEND_CPU_PRODUCT_TILE_INL_H_
#else
#define TINTYPE_BACKEND_CPU_PRODUCT_TILE_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "backend/cpu/functions-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int64_t kPanelWidth = 2 * kLanes;
// Rows of the tile: R * 2 accumulators, 2 weight vectors and 1 broadcast must fit the registers
// (32 with AVX-512 and NEON, 16 with AVX2 and SSE4).
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
inline constexpr int kTileRows = 12;
#else
inline constexpr int kTileRows = 6;
#endif

/// sums[r * NV * kLanes + n] (+)= sum over taps and k of rows[tap * kTileRows + r][k] *
/// panel[..][n] `panel` advances by NV vectors per k. The sums are kept in registers throughout.
template <int R, int NV, size_t... I>
HWY_INLINE void TileImpl(const float* const* rows, int64_t taps, int64_t depth,
                         const float* HWY_RESTRICT panel, bool accumulate, float* HWY_RESTRICT sums,
                         std::index_sequence<I...>) {
  const Floats d;
  Vector acc[R * NV];
  if (accumulate) {
    ((acc[I] = hn::Load(d, sums + I * kLanes)), ...);
  } else {
    ((acc[I] = hn::Zero(d)), ...);
  }
  for (int64_t tap = 0; tap < taps; ++tap) {
    const float* run[R];
    for (int r = 0; r < R; ++r) run[r] = rows[tap * kTileRows + r];
    for (int64_t k = 0; k < depth; ++k) {
      Vector b[NV];
      for (int v = 0; v < NV; ++v) b[v] = hn::Load(d, panel + v * kLanes);
      panel += NV * kLanes;
      ((acc[I] = hn::MulAdd(hn::Set(d, run[I / NV][k]), b[I % NV], acc[I])), ...);
    }
  }
  ((hn::Store(acc[I], d, sums + I * kLanes)), ...);
}

template <int R, int NV>
HWY_NOINLINE void FixedTile(const float* const* rows, int64_t taps, int64_t depth,
                            const float* panel, bool accumulate, float* sums) {
  TileImpl<R, NV>(rows, taps, depth, panel, accumulate, sums,
                  std::make_index_sequence<static_cast<size_t>(R * NV)>());
}

/// Picks the smallest instance that holds `count` rows; surplus rows must point at readable memory.
template <int NV>
HWY_INLINE void TileRows(int64_t count, const float* const* rows, int64_t taps, int64_t depth,
                         const float* panel, bool accumulate, float* sums) {
  if (count == 1) return FixedTile<1, NV>(rows, taps, depth, panel, accumulate, sums);
  if (count == 2) return FixedTile<2, NV>(rows, taps, depth, panel, accumulate, sums);
  if (count <= kTileRows / 2)
    return FixedTile<kTileRows / 2, NV>(rows, taps, depth, panel, accumulate, sums);
  FixedTile<kTileRows, NV>(rows, taps, depth, panel, accumulate, sums);
}

/// Vectors in the panel that starts at `column` of `columns`.
HWY_INLINE int PanelVectors(int64_t column, int64_t columns) {
  return columns - column <= kLanes ? 1 : 2;
}

/// One tile of `count` rows against the panel of `vectors` vectors.
HWY_INLINE void Tile(int64_t count, int vectors, const float* const* rows, int64_t taps,
                     int64_t depth, const float* panel, bool accumulate, float* sums) {
  if (vectors == 2) return TileRows<2>(count, rows, taps, depth, panel, accumulate, sums);
  TileRows<1>(count, rows, taps, depth, panel, accumulate, sums);
}

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
