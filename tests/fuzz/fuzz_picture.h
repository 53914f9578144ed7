/// What the three picture targets share: any bytes are refused with an Error, or a picture whose
/// bytes agree with its size.
#pragma once

#include <cstdint>
#include <span>

#include "fuzz/fuzz_check.h"
#include "image/picture_limits.h"
#include "tintype/image.h"

namespace tintype::fuzz {

/// Small, so that time goes into bytes and not into pixels.
inline constexpr PictureLimits kLimits = {.max_pixels = 1 << 16};

template <typename Decode>
void check_picture(std::span<const uint8_t> bytes, const Decode& decode) {
  try {
    const Image image = decode(bytes);
    require(image.width_px >= 1 && image.height_px >= 1, "a picture has pixels");
    const auto pixels =
        static_cast<uint64_t>(image.width_px) * static_cast<uint64_t>(image.height_px);
    require(pixels <= kLimits.max_pixels, "the limit holds");
    require(image.rgb.size() == pixels * 3, "bytes agree with the size");
    const ImageFileInfo info = inspect_image(bytes);
    require(uint64_t(info.width_px) * uint64_t(info.height_px) == pixels, "headers agree with it");
  } catch (const Error& error) {
    require_file_error(error);
  }
  try {
    inspect_image(bytes);
  } catch (const Error& error) {
    require_file_error(error);
  }
}

}  // namespace tintype::fuzz
