/// EXIF as far as pictures here need it: which way up a picture is, and settings as text.
/// Pure functions; thread-safe.
/// source  CIPA DC-008 (Exif 2.32); TIFF 6.0 for the structure
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tintype/image.h"

namespace tintype {

/// The orientation tag, 1 to 8, of a TIFF structure (EXIF without "Exif\0\0"); 1 when there is none
/// or the bytes are not what they should be: a broken tag costs a turn, not the picture.
int exif_orientation(std::span<const uint8_t> tiff);

/// Upright: what the orientation says about rows and columns carried out. 1 returns the same
/// memory.
Image oriented(Image image, int orientation);

/// The size that oriented() would give.
ImageFileInfo upright(ImageFileInfo info, int orientation);

/// A TIFF structure with ImageDescription and the UserComment that galleries read (UTF-16 behind
/// "UNICODE\0"). Broken UTF-8 is repaired. An empty text has no tag.
std::vector<uint8_t> exif_with_text(const std::string& user_comment,
                                    const std::string& description);

struct ExifText {
  std::string user_comment, description;  ///< UTF-8; "" where there is none
};
/// What exif_with_text or another program wrote into a TIFF structure. UTF-16 is read in the
/// structure's byte order; other encodings are taken for UTF-8, and what is broken is repaired.
ExifText exif_text(std::span<const uint8_t> tiff);

}  // namespace tintype
