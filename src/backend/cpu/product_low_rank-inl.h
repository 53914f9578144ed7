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

#include <vector>

#include "backend/cpu/product.h"
#include "backend/cpu/product_tile-inl.h"
#include "backend/cpu/product_widen-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

/// What one thread keeps of the terms of a product: the part of each `up` that meets the columns
/// at hand, in f32. Empty, and free, for products without terms.
class LowRankPanels {
 public:
  /// `width`: columns that are finished together, a multiple of kLanes.
  LowRankPanels(const ProductEpilogue& epilogue, int64_t columns, int64_t width)
      : epilogue_(epilogue), columns_(columns) {
    int64_t floats = 0;
    for (const ProductLowRank& term : epilogue.low_rank)
      if (term.stored != DType::kF32) floats += term.rank * width;
    if (floats) block_ = hwy::AllocateAligned<float>(static_cast<size_t>(floats));
    panels_.resize(epilogue.low_rank.size());
  }

  /// The columns first_column.. + vectors * kLanes come next; first_column begins a panel.
  void Prepare(int64_t first_column, int vectors) {
    float* to = block_.get();
    for (size_t i = 0; i < panels_.size(); ++i) {
      const ProductLowRank& term = epilogue_.low_rank[i];
      if (!term.up) continue;
      const int64_t first = first_column * term.rank;
      if (term.stored == DType::kF32) {
        panels_[i] = reinterpret_cast<const float*>(term.up) + first;
        continue;
      }
      // Panels lie one after the other; the last may be narrower than the sums' vectors.
      const int64_t present = (columns_ - first_column + kLanes - 1) / kLanes;
      const int64_t count = HWY_MIN(present, int64_t{vectors}) * kLanes * term.rank;
      Widen(term.stored, term.up + 2 * first, count, to);
      panels_[i] = to;
      to += count;
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
    for (int64_t r = 0; r < rows; ++r)
      if (Concerns(first_row + r))
        Scale(first_row + r, first_column, vectors, sums + r * vectors * kLanes);
    for (size_t i = 0; i < panels_.size(); ++i) {
      const ProductLowRank& term = epilogue_.low_rank[i];
      const int64_t begin = HWY_MAX(first_row, term.first_row);
      const int64_t end = HWY_MIN(first_row + rows, term.last_row);
      for (int64_t row = begin; row < end; row += kTileRows) {
        float* at = sums + (row - first_row) * vectors * kLanes;
        AddTile(i, row, HWY_MIN(kTileRows, end - row), first_column, vectors, at);
      }
    }
  }

 private:
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

  void AddTile(size_t index, int64_t row, int64_t count, int64_t first_column, int vectors,
               float* sums) const {
    const ProductLowRank& term = epilogue_.low_rank[index];
    const float* middle = term.middle + (row - term.first_row) * term.rank;
    if (!term.up) {
      for (int64_t r = 0; r < count; ++r)
        for (int v = 0; v < vectors; ++v)
          Accumulate(term, Columns(middle + r * term.rank, first_column + v * kLanes),
                     first_column + v * kLanes, sums + (r * vectors + v) * kLanes);
      return;
    }
    const float* rows[kTileRows];
    for (int64_t r = 0; r < kTileRows; ++r) rows[r] = middle + HWY_MIN(r, count - 1) * term.rank;
    HWY_ALIGN float dots[kTileRows * kPanelWidth];
    for (int v = 0; v < vectors && first_column + v * kLanes < columns_; v += 2) {
      const int64_t column = first_column + v * kLanes;
      const int wide = PanelVectors(column, columns_);
      Tile(count, wide, rows, 1, term.rank, panels_[index] + v * kLanes * term.rank, false, dots);
      for (int64_t r = 0; r < count; ++r)
        for (int w = 0; w < wide; ++w)
          Accumulate(term, hn::Load(Floats(), dots + (r * wide + w) * kLanes), column + w * kLanes,
                     sums + (r * vectors + v + w) * kLanes);
    }
  }

  void Accumulate(const ProductLowRank& term, Vector dot, int64_t column, float* sum) const {
    const Floats d;
    Vector factor = hn::Set(d, term.scale);
    if (term.gain) factor = hn::Mul(factor, Columns(term.gain, column));
    hn::Store(hn::MulAdd(dot, factor, hn::Load(d, sum)), d, sum);
  }

  const ProductEpilogue& epilogue_;
  int64_t columns_;
  hwy::AlignedFreeUniquePtr<float[]> block_;
  std::vector<const float*> panels_;  ///< of each term
};

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
