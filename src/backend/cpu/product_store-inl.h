/// The epilogue that all products share: sums in registers or memory to outputs. Compiled once per
/// instruction set; see hwy/foreach_target.h. Internal.
#if defined(TINTYPE_BACKEND_CPU_PRODUCT_STORE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINTYPE_BACKEND_CPU_PRODUCT_STORE_INL_H_
#undef TINTYPE_BACKEND_CPU_PRODUCT_STORE_INL_H_
#else
#define TINTYPE_BACKEND_CPU_PRODUCT_STORE_INL_H_
#endif

#include <hwy/highway.h>

#include <cstring>

#include "backend/cpu/functions-inl.h"
#include "backend/cpu/product.h"
#include "backend/cpu/product_low_rank-inl.h"
#include "backend/cpu/product_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

/// Where the sums of a product go: [rows, columns].
struct Outputs {
  const ProductEpilogue& epilogue;
  int64_t columns;
  float* out;
};

/// Applies the epilogue to one vector of sums of `row` at `column`.
HWY_INLINE Vector FinishVector(Floats d, Vector sum, const ProductEpilogue& e, int64_t columns,
                               int64_t row, int64_t column) {
  if (e.column_scale) sum = hn::Mul(sum, hn::LoadU(d, e.column_scale + column));
  if (e.bias) sum = hn::Add(sum, hn::LoadU(d, e.bias + column));
  if (e.image_bias)
    sum = hn::Add(sum, hn::LoadU(d, e.image_bias + row / e.rows_per_image * columns + column));
  sum = Activate(d, sum, e.activation);
  if (e.residual) sum = hn::Add(sum, hn::LoadU(d, e.residual + row * columns + column));
  return sum;
}

/// The same on the last, partial vector of a row: no read or write past the last column.
inline void FinishTail(const float* sums, const Outputs& to, int64_t row, int64_t column,
                       int64_t count) {
  const Floats d;
  HWY_ALIGN float in[5][kLanes] = {};
  const ProductEpilogue& e = to.epilogue;
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  ProductEpilogue tail{.activation = e.activation};
  const auto copy = [&](const float* from, int64_t at, float* buffer, const float*& used) {
    if (!from) return;
    std::memcpy(buffer, from + at, bytes);
    used = buffer;
  };
  std::memcpy(in[0], sums, bytes);
  copy(e.bias, column, in[1], tail.bias);
  copy(e.image_bias, row / e.rows_per_image * to.columns + column, in[2], tail.image_bias);
  copy(e.residual, row * to.columns + column, in[3], tail.residual);
  copy(e.column_scale, column, in[4], tail.column_scale);
  hn::Store(FinishVector(d, hn::Load(d, in[0]), tail, 0, 0, 0), d, in[0]);
  std::memcpy(to.out + row * to.columns + column, in[0], bytes);
}

inline void StoreRows(const float* sums, const Outputs& to, int64_t first_row, int64_t rows,
                      int64_t first_column, int vectors) {
  const Floats d;
  for (int64_t r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) {
      const int64_t row = first_row + r, column = first_column + v * kLanes;
      const float* from = sums + (r * vectors + v) * kLanes;
      const int64_t left = to.columns - column;
      if (left >= kLanes)
        hn::StoreU(FinishVector(d, hn::Load(d, from), to.epilogue, to.columns, row, column), d,
                   to.out + row * to.columns + column);
      else if (left > 0)
        FinishTail(from, to, row, column, left);
    }
  }
}

/// sums [rows][vectors * kLanes] of the columns from `first_column` on, for which `low_rank` was
/// prepared; rows with terms are changed in place.
inline void StoreTile(float* sums, const Outputs& to, const LowRankPanels& low_rank,
                      int64_t first_row, int64_t rows, int64_t first_column, int vectors) {
  const ProductEpilogue& e = to.epilogue;
  if (e.low_rank.empty() && !e.image_gain)
    return StoreRows(sums, to, first_row, rows, first_column, vectors);
  low_rank.Add(first_row, rows, first_column, vectors, sums);
  ProductEpilogue scaled = e;  // of the rows that were: Add() has done the first of it
  scaled.column_scale = nullptr;
  const Outputs rest{scaled, to.columns, to.out};
  int64_t concerned = 0;
  for (int64_t r = 0; r < rows; ++r) concerned += low_rank.Concerns(first_row + r);
  if (concerned == rows) return StoreRows(sums, rest, first_row, rows, first_column, vectors);
  for (int64_t r = 0; r < rows; ++r)
    StoreRows(sums + r * vectors * kLanes, low_rank.Concerns(first_row + r) ? rest : to,
              first_row + r, 1, first_column, vectors);
}

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
