#include "tintype/similarity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tintype/error.h"

namespace tintype {
namespace {

Image plain(int width, int height, uint8_t level) {
  Image image{width, height, {}};
  image.rgb.assign(static_cast<size_t>(width * height) * 3, level);
  return image;
}

/// A ramp that wraps around, with an error of 0..`error`-1 that differs between channels.
Image ramp(int error) {
  Image image{23, 17, {}};
  for (int y = 0; y < image.height_px; ++y)
    for (int x = 0; x < image.width_px; ++x)
      for (int c = 0; c < 3; ++c)
        image.rgb.push_back(
            static_cast<uint8_t>(x * 11 + y * 7 + c * 40 + x * y * (c + 1) % error));
  return image;
}

// Expected: skimage.metrics 0.26 on the same pictures (structural_similarity of the luma with
// gaussian_weights, sigma 1.5, use_sample_covariance false, data_range 255).
TEST(Similarity, MatchesTheReferenceOnARamp) {
  EXPECT_NEAR(ssim(ramp(1), ramp(13)), 0.8294616581920619, 1e-9);
  EXPECT_NEAR(psnr(ramp(1), ramp(13)), 17.186595738298777, 1e-9);
  EXPECT_NEAR(mean_difference(ramp(1), ramp(13)), 9.901108269394715, 1e-9);
  EXPECT_NEAR(ssim(ramp(13), ramp(1)), 0.8294616581920619, 1e-9);
}

TEST(Similarity, EqualPicturesAreAsCloseAsCanBe) {
  EXPECT_TRUE(std::isinf(psnr(ramp(1), ramp(1))));
  EXPECT_NEAR(ssim(ramp(1), ramp(1)), 1.0, 1e-12);
  EXPECT_EQ(mean_difference(ramp(1), ramp(1)), 0);
}

// By hand: without variance the ssim is (2 m n + c1) / (m^2 + n^2 + c1), c1 = 6.5025.
TEST(Similarity, PlainPicturesDifferByTheirLevels) {
  const Image dark = plain(11, 12, 100), light = plain(11, 12, 110);
  EXPECT_NEAR(psnr(dark, light), 20 * std::log10(25.5), 1e-12);
  EXPECT_EQ(mean_difference(dark, light), 10);
  EXPECT_NEAR(ssim(dark, light), (2 * 100.0 * 110 + 6.5025) / (10000.0 + 12100 + 6.5025), 1e-9);
}

TEST(Similarity, RefusesPicturesThatCannotBeCompared) {
  for (const auto measure : {mean_difference, psnr, ssim}) {
    EXPECT_THROW(measure(plain(12, 11, 0), plain(11, 12, 0)), Error);
    EXPECT_THROW(measure(Image{}, Image{}), Error);
    EXPECT_THROW(measure(Image{12, 12, {1, 2}}, Image{12, 12, {1, 2}}), Error);
  }
  EXPECT_THROW(ssim(plain(10, 40, 0), plain(10, 40, 0)), Error);
  EXPECT_NO_THROW(psnr(plain(10, 40, 0), plain(10, 40, 0)));
}

}  // namespace
}  // namespace tintype
