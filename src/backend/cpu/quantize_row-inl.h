/// Rounds one row of activations to 8 bits; see tensor/int8_rows.h. Compiled once per instruction
/// set. Internal.
#if defined(TINTYPE_BACKEND_CPU_QUANTIZE_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINTYPE_BACKEND_CPU_QUANTIZE_ROW_INL_H_
#undef TINTYPE_BACKEND_CPU_QUANTIZE_ROW_INL_H_
#else
#define TINTYPE_BACKEND_CPU_QUANTIZE_ROW_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/functions-inl.h"
#include "tensor/int8_rows.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {
/// A row with a value that is not a finite number becomes one of NaN.
inline void QuantizeRow(const float* x, int64_t channels, std::byte* out) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const hn::Rebind<uint8_t, Floats> bytes;
  float low = x[0], high = x[0];
  bool finite = true;
  int64_t c = 0;
  if (channels >= kLanes) {
    Vector lowest = hn::LoadU(d, x), highest = lowest, zeros = hn::Sub(lowest, lowest);
    for (; c + kLanes <= channels; c += kLanes) {
      const Vector v = hn::LoadU(d, x + c);
      lowest = hn::Min(lowest, v);
      highest = hn::Max(highest, v);
      zeros = hn::Add(zeros, hn::Sub(v, v));  // stays zero unless a value is not finite
    }
    low = hn::GetLane(hn::MinOfLanes(d, lowest));
    high = hn::GetLane(hn::MaxOfLanes(d, highest));
    finite = hn::GetLane(hn::SumOfLanes(d, zeros)) == 0.0f;
  }
  for (; c < channels; ++c) {
    low = std::min(low, x[c]);
    high = std::max(high, x[c]);
    finite = finite && std::isfinite(x[c]);
  }
  const float scale = (high - low) / 255.0f;
  Int8RowHeader row{.scale = scale, .offset = low};
  if (!finite || !std::isfinite(scale)) row.scale = row.offset = NAN;
  std::memcpy(out, &row, sizeof(row));
  uint8_t* q = reinterpret_cast<uint8_t*>(out + sizeof(row));
  const float inverse = finite && scale > 0 && std::isfinite(1.0f / scale) ? 1.0f / scale : 0.0f;
  const Vector vlow = hn::Set(d, finite ? low : 0.0f), vinverse = hn::Set(d, inverse);
  const auto quantize = [&](Vector v) HWY_ATTR {
    const auto rounded = hn::NearestInt(hn::Mul(hn::Sub(v, vlow), vinverse));
    return hn::DemoteTo(bytes, hn::Min(hn::Max(rounded, hn::Zero(di)), hn::Set(di, 255)));
  };
  for (c = 0; c + kLanes <= channels; c += kLanes)
    hn::StoreU(quantize(hn::LoadU(d, x + c)), bytes, q + c);
  if (c < channels) {
    HWY_ALIGN float last[kLanes];
    HWY_ALIGN uint8_t tail[kLanes];
    std::fill_n(last, kLanes, low);
    std::copy(x + c, x + channels, last);
    hn::StoreU(quantize(hn::Load(d, last)), bytes, tail);
    std::copy_n(tail, channels - c, q + c);
  }
  for (c = channels; c % kQuad != 0; ++c) q[c] = 0;
}

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
