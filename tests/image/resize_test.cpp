// Filters against Pillow bit for bit, modes against diffusers' image processor, and what is copied.
#include "image/resize.h"

#include <gtest/gtest.h>

#include "models/fixture_files.h"
#include "tintype/error.h"

namespace tintype::testing {
namespace {

const Dump& resized() {
  static const Dump dump(fixtures() / "images" / "resized.safetensors");
  return dump;
}

std::shared_ptr<const Image> source() {
  const Tensor pixels = resized().raw("source");
  const auto bytes = pixels.span<uint8_t>();
  return std::make_shared<Image>(Image{static_cast<int>(pixels.dim(1)),
                                       static_cast<int>(pixels.dim(0)),
                                       {bytes.begin(), bytes.end()}});
}

void expect_equal(const std::vector<uint8_t>& bytes, const std::string& name) {
  const Tensor expected = resized().raw(name);
  const auto wanted = expected.span<uint8_t>();
  EXPECT_EQ(bytes, std::vector<uint8_t>(wanted.begin(), wanted.end())) << name;
}

TEST(Resize, FiltersAreThoseOfPillowBitForBit) {
  const auto image = source();
  const Plane plane{image->rgb, image->width_px, image->height_px, 3};
  const ResampleBox all{0, 0, static_cast<double>(image->width_px),
                        static_cast<double>(image->height_px)};
  for (const auto& [width, height] : std::vector<std::pair<int, int>>{
           {40, 24}, {61, 30}, {24, 43}, {128, 96}, {8, 8}, {1, 1}, {200, 43}}) {
    const std::string size = std::to_string(width) + "x" + std::to_string(height);
    expect_equal(resample(plane, width, height, ResampleFilter::kLanczos, all), "lanczos-" + size);
    expect_equal(resample(plane, width, height, ResampleFilter::kBicubic, all), "bicubic-" + size);
  }
}

TEST(Resize, ModesAreThoseOfDiffusers) {
  for (const auto& [mode, name] :
       {std::pair{ResizeMode::kFit, "fit"}, std::pair{ResizeMode::kCrop, "crop"},
        std::pair{ResizeMode::kPad, "pad"}}) {
    for (const auto& [width, height] :
         std::vector<std::pair<int, int>>{{64, 64}, {96, 32}, {32, 64}, {40, 40}}) {
      const auto image = fit_image(source(), width, height, mode);
      EXPECT_EQ(image->width_px, width);
      EXPECT_EQ(image->height_px, height);
      expect_equal(image->rgb,
                   std::string(name) + "-" + std::to_string(width) + "x" + std::to_string(height));
    }
  }
}

TEST(Resize, WhatHasTheSizeIsNotCopied) {
  const auto image = source();
  const auto mask = std::make_shared<Mask>(Mask{2, 1, {0, 255}});
  for (const ResizeMode mode : {ResizeMode::kFit, ResizeMode::kCrop, ResizeMode::kPad}) {
    EXPECT_EQ(fit_image(image, image->width_px, image->height_px, mode), image);
    EXPECT_EQ(fit_mask(mask, 2, 1, mode), mask);
  }
}

TEST(Resize, RefusesSizesThatContradictTheBytes) {
  const auto broken = std::make_shared<Image>(Image{4, 4, {1, 2, 3}});
  EXPECT_THROW(fit_image(broken, 8, 8, ResizeMode::kFit), Error);
  EXPECT_THROW(fit_image(source(), 0, 8, ResizeMode::kFit), Error);
}

TEST(Resize, ThinPicturesKeepAtLeastOnePixel) {
  const auto thin = std::make_shared<Image>(Image{300, 1, std::vector<uint8_t>(900, 77)});
  for (const ResizeMode mode : {ResizeMode::kFit, ResizeMode::kCrop, ResizeMode::kPad}) {
    const auto image = fit_image(thin, 16, 24, mode);
    EXPECT_EQ(image->rgb, std::vector<uint8_t>(16 * 24 * 3, 77));
  }
}

}  // namespace
}  // namespace tintype::testing
