#include "tintype/contact_sheet.h"

#include <algorithm>

#include "base/check.h"
#include "image/label_font.h"

namespace tintype {
namespace {

constexpr int kGapPx = 4;
constexpr int kMaxLabelGlyphs = 24;  // of a row's label: the column of labels stays readable
constexpr int64_t kMaxPixels = int64_t{1} << 28;

struct Point {
  int x, y;
};

void draw_glyph(Image& sheet, char c, Point at) {
  if (c < kFirstGlyph || c > kLastGlyph) c = '?';
  const std::string_view glyph =
      kLabelGlyphs.substr(static_cast<size_t>(c - kFirstGlyph) * kGlyphWidth * kGlyphHeight);
  for (int y = 0; y < kGlyphHeight; ++y) {
    for (int x = 0; x < kGlyphWidth; ++x) {
      const char digit = glyph[static_cast<size_t>(y * kGlyphWidth + x)];
      const int coverage = digit <= '9' ? digit - '0' : digit - 'a' + 10;
      const size_t pixel = (static_cast<size_t>(at.y + y) * static_cast<size_t>(sheet.width_px) +
                            static_cast<size_t>(at.x + x)) *
                           3;
      std::fill_n(sheet.rgb.begin() + static_cast<std::ptrdiff_t>(pixel), 3,
                  static_cast<uint8_t>(255 - coverage * 17));
    }
  }
}

/// Draws as many glyphs as fit `width_px`.
void draw_label(Image& sheet, const std::string& text, Point at, int width_px) {
  const int fitting =
      std::min<int>(static_cast<int>(std::min<size_t>(text.size(), 4096)), width_px / kGlyphWidth);
  for (int i = 0; i < fitting; ++i)
    draw_glyph(sheet, text[static_cast<size_t>(i)], {at.x + i * kGlyphWidth, at.y});
}

void paste(Image& sheet, const Image& picture, Point at) {
  const size_t row = static_cast<size_t>(picture.width_px) * 3;
  for (int y = 0; y < picture.height_px; ++y)
    std::copy_n(
        picture.rgb.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(y) * row), row,
        sheet.rgb.begin() + static_cast<std::ptrdiff_t>((static_cast<size_t>(at.y + y) *
                                                             static_cast<size_t>(sheet.width_px) +
                                                         static_cast<size_t>(at.x)) *
                                                        3));
}

}  // namespace

Image contact_sheet(std::span<const Image> pictures, int columns,
                    const ContactSheetLabels& labels) {
  constexpr const char* kWhere = "contact_sheet";
  TT_REQUIRE(!pictures.empty() && columns >= 1, kWhere, "needs a picture and a column");
  const int width = pictures[0].width_px, height = pictures[0].height_px;
  for (const Image& picture : pictures)
    TT_REQUIRE(
        picture.width_px == width && picture.height_px == height &&
            picture.rgb.size() == static_cast<size_t>(width) * static_cast<size_t>(height) * 3,
        kWhere, "pictures must all be ", width, "x", height, ", got ", picture.width_px, "x",
        picture.height_px);
  const int rows = (static_cast<int>(pictures.size()) + columns - 1) / columns;
  TT_REQUIRE(labels.columns.empty() || static_cast<int>(labels.columns.size()) == columns, kWhere,
             "needs a label for each of ", columns, " columns, got ", labels.columns.size());
  TT_REQUIRE(labels.rows.empty() || static_cast<int>(labels.rows.size()) == rows, kWhere,
             "needs a label for each of ", rows, " rows, got ", labels.rows.size());

  size_t longest = 0;
  for (const std::string& label : labels.rows) longest = std::max(longest, label.size());
  const int label_glyphs = static_cast<int>(std::min<size_t>(longest, kMaxLabelGlyphs));
  const int left = labels.rows.empty() ? 0 : label_glyphs * kGlyphWidth + kGapPx;
  const int top = labels.columns.empty() ? 0 : kGlyphHeight + kGapPx;
  const int64_t sheet_width = left + int64_t{columns} * (width + kGapPx) + kGapPx;
  const int64_t sheet_height = top + int64_t{rows} * (height + kGapPx) + kGapPx;
  TT_REQUIRE(sheet_width * sheet_height <= kMaxPixels, kWhere, "a sheet may have ", kMaxPixels,
             " pixels, this one would be ", sheet_width, "x", sheet_height);

  Image sheet{static_cast<int>(sheet_width), static_cast<int>(sheet_height), {}};
  sheet.rgb.assign(static_cast<size_t>(sheet_width * sheet_height) * 3, 255);
  const auto column_x = [&](int column) { return left + kGapPx + column * (width + kGapPx); };
  const auto row_y = [&](int row) { return top + kGapPx + row * (height + kGapPx); };
  for (size_t i = 0; i < labels.columns.size(); ++i)
    draw_label(sheet, labels.columns[i], {column_x(static_cast<int>(i)), kGapPx}, width);
  for (size_t i = 0; i < labels.rows.size(); ++i)
    if (height >= kGlyphHeight)
      draw_label(sheet, labels.rows[i],
                 {kGapPx, row_y(static_cast<int>(i)) + (height - kGlyphHeight) / 2}, left - kGapPx);
  for (size_t i = 0; i < pictures.size(); ++i)
    paste(sheet, pictures[i],
          {column_x(static_cast<int>(i) % columns), row_y(static_cast<int>(i) / columns)});
  return sheet;
}

}  // namespace tintype
