/// f16 and bf16 to f32. Compiled once per instruction set; see hwy/foreach_target.h. Internal.
#if defined(TINTYPE_BACKEND_CPU_PRODUCT_WIDEN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINTYPE_BACKEND_CPU_PRODUCT_WIDEN_INL_H_
#undef TINTYPE_BACKEND_CPU_PRODUCT_WIDEN_INL_H_
#else
#define TINTYPE_BACKEND_CPU_PRODUCT_WIDEN_INL_H_
#endif

#include <hwy/highway.h>

#include <cstring>

#include "backend/cpu/product_tile-inl.h"
#include "tensor/float16.h"
#include "tensor/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

/// `count` values of an element type, widened to f32.
inline void Widen(DType stored, const std::byte* from, int64_t count, float* HWY_RESTRICT to) {
  const Floats d;
  const hn::Rebind<uint16_t, Floats> bits;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto half = hn::LoadU(bits, reinterpret_cast<const uint16_t*>(from + 2 * i));
    const Vector wide =
        stored == DType::kF16
            ? hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, Floats>(), half))
            : hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::bfloat16_t, Floats>(), half));
    hn::StoreU(wide, d, to + i);
  }
  for (; i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, from + 2 * i, 2);
    to[i] = stored == DType::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
  }
}

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
