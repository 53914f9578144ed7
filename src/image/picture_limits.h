/// Bounds of the picture readers. Constants only.
#pragma once

#include <cstdint>

namespace tintype {

/// What a reader accepts, checked against a file's header before anything is allocated.
struct PictureLimits {
  /// 402 MB as 8-bit RGB: above every camera's picture, far below what a header can claim.
  uint64_t max_pixels = uint64_t{1} << 27;
};

}  // namespace tintype
