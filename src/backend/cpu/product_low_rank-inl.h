/// What adapters add to a product, while its sums are still in the cache: no pass over the output.
/// Compiled once per instruction set; see hwy/foreach_target.h. Internal.
#if defined(TINTYPE_BACKEND_CPU_PRODUCT_LOW_RANK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINTYPE_BACKEND_CPU_PRODUCT_LOW_RANK_INL_H_
#undef TINTYPE_BACKEND_CPU_PRODUCT_LOW_RANK_INL_H_
#else
#define TINTYPE_BACKEND_CPU_PRODUCT_LOW_RANK_INL_H_
#endif

#include <hwy/aligned_allocator.h>
#include <hwy/highway.h>

#include <cstring>
#include <utility>
#include <vector>

#include "backend/cpu/product.h"
#include "backend/cpu/product_tile-inl.h"
#include "backend/cpu/product_widen-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

/// sums[r][v] += sum over k of rows[r][k] * panel[k][v], of R rows that lie `stride` apart, the
/// sums first multiplied with `factors` where there are any. In registers from the first load to
/// the store.
template <int R, int NV, size_t... I>
HWY_INLINE void AddRowsImpl(const float* const* rows, int64_t rank, const float* HWY_RESTRICT panel,
                            const Vector* factors, int64_t stride, float* sums,
                            std::index_sequence<I...>) {
  const Floats d;
  Vector acc[R * NV];
  ((acc[I] = hn::Load(d, sums + I / NV * stride + I % NV * kLanes)), ...);
  if (factors) ((acc[I] = hn::Mul(acc[I], factors[I % NV])), ...);
  const float* run[R];
  for (int r = 0; r < R; ++r) run[r] = rows[r];
  for (int64_t k = 0; k < rank; ++k) {
    Vector b[NV];
    for (int v = 0; v < NV; ++v) b[v] = hn::Load(d, panel + v * kLanes);
    panel += NV * kLanes;
    ((acc[I] = hn::MulAdd(hn::Set(d, run[I / NV][k]), b[I % NV], acc[I])), ...);
  }
  ((hn::Store(acc[I], d, sums + I / NV * stride + I % NV * kLanes)), ...);
}

template <int R, int NV>
HWY_NOINLINE void AddRows(const float* const* rows, int64_t rank, const float* panel,
                          const Vector* factors, int64_t stride, float* sums) {
  AddRowsImpl<R, NV>(rows, rank, panel, factors, stride, sums,
                     std::make_index_sequence<static_cast<size_t>(R * NV)>());
}

/// What one thread keeps of the terms of a product: the part of each `up` that meets the columns
/// at hand, in f32 and times the term's scale and gain. Empty, and free, for products without
/// terms.
class LowRankPanels {
 public:
  /// `width`: columns that are finished together, a multiple of kLanes.
  LowRankPanels(const ProductEpilogue& epilogue, int64_t columns, int64_t width)
      : epilogue_(epilogue), columns_(columns) {
    int64_t floats = 0;
    for (const ProductLowRank& term : epilogue.low_rank)
      if (term.up) floats += term.rank * width;
    if (floats) block_ = hwy::AllocateAligned<float>(static_cast<size_t>(floats));
    panels_.resize(epilogue.low_rank.size());
  }

  /// The columns first_column.. + vectors * kLanes come next; first_column begins a panel.
  void Prepare(int64_t first_column, int vectors) {
    float* to = block_.get();
    // Panels lie one after the other; the last may be narrower than the sums' vectors.
    const int64_t present = (columns_ - first_column + kLanes - 1) / kLanes;
    const int64_t used = HWY_MIN(present, int64_t{vectors});
    for (size_t i = 0; i < panels_.size(); ++i) {
      const ProductLowRank& term = epilogue_.low_rank[i];
      if (!term.up) continue;
      const int64_t first = first_column * term.rank, count = used * kLanes * term.rank;
      if (term.stored == DType::kF32)
        std::memcpy(to, reinterpret_cast<const float*>(term.up) + first,
                    static_cast<size_t>(count) * sizeof(float));
      else
        Widen(term.stored, term.up + 2 * first, count, to);
      panels_[i] = to;
      for (int64_t v = 0; v < used; v += 2)
        to = ScalePanel(term, first_column + v * kLanes, HWY_MIN(used - v, int64_t{2}), to);
    }
  }

  /// Whether anything is done to `row`; Add() must be called for it then.
  bool Concerns(int64_t row) const {
    if (epilogue_.image_gain) return true;
    for (const ProductLowRank& term : epilogue_.low_rank)
      if (row >= term.first_row && row < term.last_row) return true;
    return false;
  }

  /// Scales and adds in place: sums [rows][vectors * kLanes] of the columns given to Prepare().
  /// Rows that no term concerns stay as they are. The order of the summation of a row depends on
  /// nothing but its terms.
  void Add(int64_t first_row, int64_t rows, int64_t first_column, int vectors, float* sums) const {
    // A first term that meets every row scales them on its way, to the same bits.
    const ProductLowRank* first = panels_.empty() ? nullptr : &epilogue_.low_rank[0];
    const bool at_once = first && first->up && !epilogue_.image_gain &&
                         first->first_row <= first_row && first->last_row >= first_row + rows;
    for (int64_t r = 0; r < rows && !at_once; ++r)
      if (Concerns(first_row + r))
        Scale(first_row + r, first_column, vectors, sums + r * vectors * kLanes);
    for (size_t i = 0; i < panels_.size(); ++i) {
      const ProductLowRank& term = epilogue_.low_rank[i];
      const int64_t begin = HWY_MAX(first_row, term.first_row);
      const int64_t end = HWY_MIN(first_row + rows, term.last_row);
      for (int64_t row = begin; row < end; row += kTileRows) {
        float* at = sums + (row - first_row) * vectors * kLanes;
        const int64_t count = HWY_MIN(kTileRows, end - row);
        if (term.up)
          AddTile(i, row, count, first_column, vectors, i == 0 && at_once, at);
        else
          AddMiddle(term, row, count, first_column, vectors, at);
      }
    }
  }

 private:
  /// [rank][wide * kLanes] of the columns from `column` on, times what the term is multiplied with;
  /// returns what follows.
  float* ScalePanel(const ProductLowRank& term, int64_t column, int64_t wide, float* panel) const {
    const Floats d;
    Vector factors[2];
    for (int64_t w = 0; w < wide; ++w) factors[w] = Factor(term, column + w * kLanes);
    for (int64_t k = 0; k < term.rank; ++k)
      for (int64_t w = 0; w < wide; ++w, panel += kLanes)
        hn::Store(hn::Mul(hn::Load(d, panel), factors[w]), d, panel);
    return panel;
  }

  Vector Factor(const ProductLowRank& term, int64_t column) const {
    const Vector scale = hn::Set(Floats(), term.scale);
    return term.gain ? hn::Mul(scale, Columns(term.gain, column)) : scale;
  }

  void Scale(int64_t row, int64_t first_column, int vectors, float* sums) const {
    const Floats d;
    const float* gain = epilogue_.image_gain
                            ? epilogue_.image_gain + row / epilogue_.rows_per_image * columns_
                            : nullptr;
    for (int v = 0; v < vectors; ++v) {
      const int64_t column = first_column + v * kLanes;
      Vector sum = hn::Load(d, sums + v * kLanes);
      if (epilogue_.column_scale) sum = hn::Mul(sum, Columns(epilogue_.column_scale, column));
      if (gain) sum = hn::Mul(sum, Columns(gain, column));
      hn::Store(sum, d, sums + v * kLanes);
    }
  }

  /// values[column..], zero past the last column.
  Vector Columns(const float* values, int64_t column) const {
    const Floats d;
    const int64_t left = columns_ - column;
    if (left >= kLanes) return hn::LoadU(d, values + column);
    HWY_ALIGN float padded[kLanes] = {};
    for (int64_t i = 0; i < left; ++i) padded[i] = values[column + i];
    return hn::Load(d, padded);
  }

  /// A term without `up`.
  void AddMiddle(const ProductLowRank& term, int64_t row, int64_t count, int64_t first_column,
                 int vectors, float* sums) const {
    const Floats d;
    const float* middle = term.middle + (row - term.first_row) * term.rank;
    for (int64_t r = 0; r < count; ++r)
      for (int v = 0; v < vectors; ++v) {
        const int64_t column = first_column + v * kLanes;
        float* sum = sums + (r * vectors + v) * kLanes;
        hn::Store(hn::MulAdd(Columns(middle + r * term.rank, column), Factor(term, column),
                             hn::Load(d, sum)),
                  d, sum);
      }
  }

  /// At most kTileRows rows; `scale`: of the columns first, see Scale().
  void AddTile(size_t index, int64_t row, int64_t count, int64_t first_column, int vectors,
               bool scale, float* sums) const {
    const ProductLowRank& term = epilogue_.low_rank[index];
    const float* rows[kTileRows];
    for (int64_t r = 0; r < count; ++r)
      rows[r] = term.middle + (row + r - term.first_row) * term.rank;
    for (int v = 0; v < vectors && first_column + v * kLanes < columns_; v += 2) {
      const int64_t column = first_column + v * kLanes;
      const int wide = HWY_MIN(PanelVectors(column, columns_), vectors - v);
      Vector factors[2];
      if (scale && epilogue_.column_scale)
        for (int w = 0; w < wide; ++w)
          factors[w] = Columns(epilogue_.column_scale, column + w * kLanes);
      const Vector* first = scale && epilogue_.column_scale ? factors : nullptr;
      const float* panel = panels_[index] + v * kLanes * term.rank;
      if (wide == 2)
        AddRuns<2>(count, rows, term.rank, panel, first, vectors * kLanes, sums + v * kLanes);
      else
        AddRuns<1>(count, rows, term.rank, panel, first, vectors * kLanes, sums + v * kLanes);
    }
  }

  /// As many rows at once as there are; sums of others are not touched.
  template <int NV>
  static void AddRuns(int64_t count, const float* const* rows, int64_t rank, const float* panel,
                      const Vector* factors, int64_t stride, float* sums) {
    if (count == kTileRows) return AddRows<kTileRows, NV>(rows, rank, panel, factors, stride, sums);
    for (; count >= 4; count -= 4, rows += 4, sums += 4 * stride)
      AddRows<4, NV>(rows, rank, panel, factors, stride, sums);
    for (; count >= 1; --count, ++rows, sums += stride)
      AddRows<1, NV>(rows, rank, panel, factors, stride, sums);
  }

  const ProductEpilogue& epilogue_;
  int64_t columns_;
  hwy::AlignedFreeUniquePtr<float[]> block_;
  std::vector<const float*> panels_;  ///< of each term
};

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
