/// The font of picture labels: printable ASCII, monospace, anti-aliased. Data only.
#pragma once

#include <string_view>

namespace tintype {

inline constexpr int kGlyphWidth = 8, kGlyphHeight = 16;
inline constexpr char kFirstGlyph = ' ', kLastGlyph = '~';

/// Glyph after glyph, row after row, one hexadecimal digit of coverage a pixel.
extern const std::string_view kLabelGlyphs;

}  // namespace tintype
