// What inpainting does with masks: growth, feather, region, fill, paste.
#include "image/mask.h"

#include <gtest/gtest.h>

#include "tintype/error.h"

namespace tintype {
namespace {

Mask square(int side, int from, int to) {
  Mask mask{side, side, {}};
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x)
      mask.grey.push_back(x >= from && x < to && y >= from && y < to ? 255 : 0);
  return mask;
}

Image plain(int width, int height, uint8_t value) {
  return {width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * 3), value)};
}

TEST(Masks, HalfGreyAndAboveMarks) {
  EXPECT_EQ(binary({4, 1, {0, 127, 128, 255}}).grey, (std::vector<uint8_t>{0, 0, 255, 255}));
  EXPECT_EQ(inverted({2, 1, {0, 255}}).grey, (std::vector<uint8_t>{255, 0}));
  EXPECT_TRUE(marks_nothing(square(8, 4, 4)));
}

TEST(Masks, GrowthIsASquareAroundEveryPixel) {
  EXPECT_EQ(grown(square(16, 7, 9), 3).grey, square(16, 4, 12).grey);
  EXPECT_EQ(grown(square(16, 7, 9), 0).grey, square(16, 7, 9).grey);
  EXPECT_EQ(grown(square(16, 7, 9), 500).grey, square(16, 0, 16).grey);
}

TEST(Masks, FeatherLiesInsideAndLeavesTheRestAlone) {
  const Mask mask = square(32, 8, 24);
  const std::vector<float> weight = feathered(mask, 4);
  for (size_t i = 0; i < weight.size(); ++i) EXPECT_EQ(weight[i] > 0, mask.grey[i] > 0);
  const auto at = [&](int x, int y) { return weight[static_cast<size_t>(y * 32 + x)]; };
  EXPECT_LT(at(8, 16), at(9, 16));
  EXPECT_LT(at(9, 16), at(10, 16));
  EXPECT_EQ(at(16, 16), 1);
  EXPECT_EQ(feathered(mask, 0)[8 * 32 + 8], 1) << "no feather, a hard edge";
  EXPECT_EQ(feathered(square(8, 0, 8), 4)[0], 1) << "the picture's border is no edge";

  Image base = plain(32, 32, 10);
  for (size_t i = 0; i < base.rgb.size(); ++i) base.rgb[i] = static_cast<uint8_t>(i * 7);
  const Image result = composite(base, plain(32, 32, 200), weight);
  for (size_t i = 0; i < base.rgb.size(); ++i) {
    if (!mask.grey[i / 3]) {
      EXPECT_EQ(result.rgb[i], base.rgb[i]);
    }
    if (weight[i / 3] == 1) {
      EXPECT_EQ(result.rgb[i], 200);
    }
  }
  EXPECT_THROW(composite(base, plain(31, 32, 0), weight), Error);
}

TEST(Masks, RegionsTakeTheShapeAskedForWithinThePicture) {
  // Numbers of diffusers' get_crop_region.
  const auto expect = [](const Region& r, int left, int top, int right, int bottom) {
    EXPECT_EQ(r.left, left);
    EXPECT_EQ(r.top, top);
    EXPECT_EQ(r.right, right);
    EXPECT_EQ(r.bottom, bottom);
  };
  expect(region_around(square(64, 10, 20), 64, 64, 0), 10, 10, 20, 20);
  expect(region_around(square(64, 10, 20), 64, 64, 4), 6, 6, 24, 24);
  expect(region_around(square(64, 0, 20), 64, 64, 4), 0, 0, 24, 24);
  expect(region_around(square(64, 10, 20), 128, 64, 0), 5, 10, 25, 20);
  expect(region_around(square(64, 50, 64), 64, 128, 0), 50, 36, 64, 64);
  expect(region_around(square(64, 2, 60), 256, 64, 0), 0, 2, 64, 60);
  EXPECT_THROW(region_around(square(64, 5, 5), 64, 64, 4), Error);
}

TEST(Masks, CropsAndPatchesUndoEachOther) {
  Image image = plain(9, 7, 0);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i);
  const Region region{2, 1, 8, 6};
  const Image part = cropped(image, region);
  EXPECT_EQ(part.rgb[0], image.rgb[(9 + 2) * 3]);
  EXPECT_EQ(with_patch(image, part, region).rgb, image.rgb);
  const Image patched = with_patch(image, plain(6, 5, 99), region);
  EXPECT_EQ(patched.rgb[0], image.rgb[0]);
  EXPECT_EQ(patched.rgb[(9 + 2) * 3], 99);
}

TEST(Masks, FillTakesTheColoursAround) {
  const Mask mask = square(32, 8, 24);
  Image image = plain(32, 32, 50);
  for (size_t i = 0; i < image.rgb.size(); ++i)
    if (mask.grey[i / 3]) image.rgb[i] = 255;
  const Image filled = filled_by_blur(image, mask);
  for (const uint8_t value : filled.rgb) EXPECT_EQ(value, 50);
  EXPECT_EQ(filled_by_blur(image, square(32, 0, 32)).rgb.size(), image.rgb.size());
}

TEST(Masks, PaddingRepeatsEdgesAndMarksThem) {
  const Image image{2, 1, {1, 2, 3, 4, 5, 6}};
  const Padding padding{.left = 1, .top = 0, .right = 2, .bottom = 1};
  const Image wide = padded(image, padding);
  EXPECT_EQ(wide.width_px, 5);
  EXPECT_EQ(wide.height_px, 2);
  const std::vector<uint8_t> row = {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6};
  EXPECT_TRUE(std::equal(row.begin(), row.end(), wide.rgb.begin()));
  EXPECT_TRUE(std::equal(row.begin(), row.end(), wide.rgb.begin() + 15));
  EXPECT_EQ(padded_mask(image, nullptr, padding).grey,
            (std::vector<uint8_t>{255, 0, 0, 255, 255, 255, 255, 255, 255, 255}));
  const Mask own{2, 1, {0, 255}};
  EXPECT_EQ(padded_mask(image, &own, padding).grey[2], 255);
}

}  // namespace
}  // namespace tintype
