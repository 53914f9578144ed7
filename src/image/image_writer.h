/// The encoders behind save_image. Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tintype/image.h"

namespace tintype {

std::vector<uint8_t> encode_png(const Image& image, const PngText& text);
/// exif: a TIFF structure of at most 65,527 bytes, or none
std::vector<uint8_t> encode_jpeg(const Image& image, int quality, std::span<const uint8_t> exif);
std::vector<uint8_t> encode_webp(const Image& image, int quality, std::span<const uint8_t> exif);

/// throws kInvalidArgument: sides beyond 1..max_side_px, or bytes that contradict them
void check_image_size(std::string_view where, const Image& image, int max_side_px);

}  // namespace tintype
