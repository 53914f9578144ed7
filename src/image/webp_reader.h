/// Reading WebP files into the library's Image. Every byte is hostile: sizes are bounded before
/// anything is allocated from them. Thread-safety: no state.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "image/picture_limits.h"
#include "tintype/image.h"

namespace tintype {

/// Lossy and lossless files become upright 8-bit RGB; an alpha channel is dropped, as the
/// reference's convert("RGB") does. `origin` names the bytes in messages.
/// throws kCorruptFile; kUnsupported: beyond the limits, animations
Image decode_webp(std::span<const uint8_t> bytes, std::string_view origin,
                  const PictureLimits& limits = {});

/// Size and orientation alone. throws as decode_webp, but for what lies in the pixels
ImageFileInfo inspect_webp(std::span<const uint8_t> bytes, std::string_view origin);

/// Its alpha channel as a grey picture; white where it has none. throws as decode_webp
Image decode_webp_alpha(std::span<const uint8_t> bytes, std::string_view origin,
                        const PictureLimits& limits = {});

}  // namespace tintype
