/// The settings that picture files carry. Public. Pure function; thread-safe.
#pragma once

#include <cstdint>
#include <span>

#include "tintype/image.h"

namespace tintype {

/// Texts in a PNG, JPEG or WebP file's bytes, in order, as UTF-8, without decoding the picture: of
/// a PNG its tEXt and uncompressed iTXt chunks by keyword; of the others EXIF's UserComment as
/// "parameters", where galleries look for it, and ImageDescription as "tintype", as save_image
/// wrote them. At most 64; files that end early or contradict themselves give what could be read.
/// throws kUnsupported: another format
PngText image_text(std::span<const uint8_t> bytes);

}  // namespace tintype
