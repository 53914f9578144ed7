/// Any picture file into the library's Image, told apart by its first bytes. Thread-safety: no
/// state.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "image/picture_limits.h"
#include "tintype/image.h"

namespace tintype {

/// `origin` names the bytes in messages. throws as load_image
Image decode_image(std::span<const uint8_t> bytes, std::string_view origin,
                   const PictureLimits& limits = {});

/// The luma of a picture, rounded as the reference's convert("L").
Mask to_mask(const Image& image);

}  // namespace tintype
