/// Reading JPEG files into the library's Image. Every byte is hostile: sizes are bounded before
/// anything is allocated from them. Thread-safety: no state.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "image/picture_limits.h"
#include "tintype/image.h"

namespace tintype {

/// Baseline and progressive, grey, YCbCr, RGB, CMYK and YCCK files become upright 8-bit RGB; CMYK
/// as the reference's convert("RGB"), without a colour profile. `origin` names the bytes in
/// messages. throws kCorruptFile; kUnsupported: beyond the limits, or a coding that libjpeg lacks
Image decode_jpeg(std::span<const uint8_t> bytes, std::string_view origin,
                  const PictureLimits& limits = {});

/// Size and orientation alone. throws as decode_jpeg, but for what lies in the pixels
ImageFileInfo inspect_jpeg(std::span<const uint8_t> bytes, std::string_view origin);

}  // namespace tintype
