#include "tintype/contact_sheet.h"

#include <gtest/gtest.h>

#include <set>

#include "image/label_font.h"
#include "tintype/error.h"

namespace tintype {
namespace {

Image plain(int width, int height, uint8_t level) {
  Image image{width, height, {}};
  image.rgb.assign(static_cast<size_t>(width * height) * 3, level);
  return image;
}

uint8_t at(const Image& image, int x, int y) {
  return image
      .rgb[(static_cast<size_t>(y) * static_cast<size_t>(image.width_px) + static_cast<size_t>(x)) *
           3];
}

TEST(ContactSheet, PlacesPicturesRowByRow) {
  const std::vector<Image> pictures = {plain(40, 30, 10), plain(40, 30, 20), plain(40, 30, 30)};
  const Image sheet = contact_sheet(pictures, 2);
  EXPECT_EQ(sheet.width_px, 2 * 44 + 4);
  EXPECT_EQ(sheet.height_px, 2 * 34 + 4);
  EXPECT_EQ(at(sheet, 4, 4), 10);
  EXPECT_EQ(at(sheet, 48, 4), 20);
  EXPECT_EQ(at(sheet, 4, 38), 30);
  EXPECT_EQ(at(sheet, 48, 38), 255);  // the empty place
  EXPECT_EQ(at(sheet, 0, 0), 255);
}

TEST(ContactSheet, LabelsLeaveInkAndNeverReachThePictures) {
  const std::vector<Image> pictures = {plain(40, 30, 7), plain(40, 30, 7)};
  const Image sheet = contact_sheet(pictures, 2,
                                    {.columns = {"steps=10", "a label far too long for its column"},
                                     .rows = {"guidance=4 \xC3\xA9"}});
  std::set<uint8_t> levels(sheet.rgb.begin(), sheet.rgb.end());
  EXPECT_GT(levels.size(), 5u) << "anti-aliased ink";
  const int left = sheet.width_px - (2 * 44 + 4), top = sheet.height_px - (34 + 4);
  EXPECT_GT(left, 0);
  EXPECT_GT(top, 0);
  for (int y = 0; y < 30; ++y)
    for (int x = 0; x < 40; ++x) ASSERT_EQ(at(sheet, left + 4 + x, top + 4 + y), 7);
}

TEST(ContactSheet, RefusesWhatDoesNotFitTogether) {
  const std::vector<Image> pictures = {plain(4, 4, 1), plain(5, 4, 1)};
  EXPECT_THROW(contact_sheet({}, 1), Error);
  EXPECT_THROW(contact_sheet(pictures, 2), Error);
  EXPECT_THROW(contact_sheet(std::span(pictures).first(1), 0), Error);
  EXPECT_THROW(contact_sheet(std::span(pictures).first(1), 1, {.columns = {"a", "b"}, .rows = {}}),
               Error);
  Image lying = plain(4, 4, 1);
  lying.width_px = 4000;
  EXPECT_THROW(contact_sheet(std::span(&lying, 1), 1), Error);
}

TEST(LabelFont, HasEveryPrintableCharacter) {
  EXPECT_EQ(kLabelGlyphs.size(),
            static_cast<size_t>(kLastGlyph - kFirstGlyph + 1) * kGlyphWidth * kGlyphHeight);
  EXPECT_EQ(kLabelGlyphs.find_first_not_of("0123456789abcdef"), std::string_view::npos);
}

}  // namespace
}  // namespace tintype
