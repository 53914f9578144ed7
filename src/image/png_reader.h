/// Reading PNG files into the library's Image. Every byte is hostile: sizes are bounded before
/// anything is allocated from them. Not public; load_image is.
/// Thread-safety: no state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "image/picture_limits.h"
#include "image/png_limits.h"
#include "tintype/image.h"

namespace tintype {

/// Grey, palette, 16-bit and interlaced files become 8-bit RGB; an alpha channel is dropped, as the
/// reference's convert("RGB") does; an orientation in an eXIf chunk is carried out. `text`, unless
/// null, receives the text chunks as UTF-8. throws kNotFound, kIo, kCorruptFile; kUnsupported:
/// another format, or beyond the bounds of png_limits.h
Image read_png(const std::filesystem::path& path, PngText* text = nullptr);

/// The same from memory; `origin` names the bytes in messages.
Image decode_png(std::span<const uint8_t> bytes, std::string_view origin, PngText* text = nullptr,
                 const PictureLimits& limits = {.max_pixels = kMaxPngPixels});

/// Size and orientation alone. throws as decode_png, but for what lies in the pixels
ImageFileInfo inspect_png(std::span<const uint8_t> bytes, std::string_view origin);

/// Its alpha channel, or the transparency of its colours, as a grey picture; white where it has
/// none. throws as decode_png
Image decode_png_alpha(std::span<const uint8_t> bytes, std::string_view origin,
                       const PictureLimits& limits = {.max_pixels = kMaxPngPixels});

}  // namespace tintype
