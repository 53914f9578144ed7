/// Bounds shared by the PNG writer and reader. Constants only.
#pragma once

#include <cstdint>

namespace tintype {

/// Sides that every common program opens.
inline constexpr uint32_t kMaxPngSidePx = 65535;
/// 805 MB as 8-bit RGB: far beyond what is drawn here, small enough to allocate.
inline constexpr uint64_t kMaxPngPixels = uint64_t{1} << 28;

}  // namespace tintype
