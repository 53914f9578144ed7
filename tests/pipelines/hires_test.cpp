// Two passes: what makes latents and pictures larger, and what the second pass does with them.
#include "pipelines/hires.h"

#include <gtest/gtest.h>

#include "base/expect_error.h"
#include "models/fixture_files.h"
#include "ops/ops.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

Tensor latents_of(const Shape& shape, const std::vector<float>& values) {
  Tensor x = ops::empty(shape, DType::kF32, Device::kCpu);
  std::copy(values.begin(), values.end(), x.mutable_data<float>());
  return x;
}

// torch.nn.functional.interpolate(x, size=(2, 7), mode=..., align_corners=False), torch 2.15.0
TEST(Hires, LatentsAreResizedAsPyTorchDoes) {
  const Tensor x = latents_of(Shape{1, 1, 4, 1}, {0, 1, 4, 9});
  const auto expect = [&](LatentFilter filter, const std::vector<float>& line) {
    const Tensor y = resized_latents(x, 2, 7, filter);
    for (size_t i = 0; i < 14; ++i) EXPECT_NEAR(y.data<float>()[i], line[i % 7], 1e-5) << i;
  };
  expect(LatentFilter::kBilinear,
         {0.000000f, 0.357143f, 0.928571f, 2.500000f, 4.357144f, 7.214287f, 9.000000f});
  expect(LatentFilter::kBicubic,
         {-0.099216f, 0.156249f, 0.804208f, 2.125000f, 4.424658f, 7.480775f, 9.496082f});
}

TEST(Hires, ResizingGoesAlongBothAxesAndKeepsChannelsApart) {
  const Tensor x = latents_of(Shape{1, 2, 1, 2}, {0, 10, 4, 30});
  const Tensor y = resized_latents(x, 4, 2, LatentFilter::kBilinear);
  const std::vector<float> expected = {0, 10, 0, 10, 1, 15, 1, 15, 3, 25, 3, 25, 4, 30, 4, 30};
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_FLOAT_EQ(y.data<float>()[i], expected[i]) << i;
}

DiffusionModel load(const char* name) {
  return DiffusionModel::load(CheckpointLayout::read(fixtures() / "models" / name), Device::kCpu,
                              RunContext());
}

HiresRequest request_of(const char* method) {
  return {.drawing = {.prompt = "a fox", .steps = 4, .guidance_scale = 3.0f, .seed = 1},
          .scale = 1.5,
          .strength = 0.5,
          .method = method};
}

Image doubled(const Image& image) {
  Image result{.width_px = image.width_px * 2, .height_px = image.height_px * 2, .rgb = {}};
  for (int y = 0; y < result.height_px; ++y)
    for (int x = 0; x < result.width_px; ++x)
      for (int k = 0; k < 3; ++k)
        result.rgb.push_back(
            image.rgb[static_cast<size_t>((y / 2 * image.width_px + x / 2) * 3 + k)]);
  return result;
}

std::vector<TextToImageResult> draw(const DiffusionModel& model, const HiresRequest& request) {
  return hires_images(model, resolve_settings(model, request), doubled, RunContext());
}

TEST(Hires, EveryMethodDrawsTheLargerPicture) {
  const DiffusionModel model = load("four-level");
  std::vector<std::vector<uint8_t>> seen;
  for (const char* method : {"latent", "latent-bicubic", "lanczos"}) {
    const auto result = draw(model, request_of(method)).front();
    const int factor = static_cast<int>(model.codec->traits().factor);
    EXPECT_EQ(result.image.width_px, model.default_width_px() * 3 / 2 / factor * factor) << method;
    EXPECT_EQ(result.settings.width_px, result.image.width_px) << method;
    EXPECT_EQ(result.settings.hires_scale, 1.5);
    EXPECT_NE(parameters_text(result.settings).find(cat("Hires upscaler: ", method)),
              std::string::npos);
    for (const auto& other : seen) EXPECT_NE(result.image.rgb, other) << method;
    seen.push_back(result.image.rgb);
    EXPECT_EQ(draw(model, request_of(method)).front().image.rgb, seen.back()) << method;
  }
}

TEST(Hires, OfABatchEachIsTheOneDrawnAlone) {
  const DiffusionModel model = load("four-level");
  for (const char* method : {"latent", "lanczos"}) {
    HiresRequest both = request_of(method), second = both;
    both.drawing.batch_size = 2;
    second.drawing.seed = 2;
    const auto results = draw(model, both);
    ASSERT_EQ(results.size(), 2u);
    EXPECT_EQ(results[1].image.rgb, draw(model, second).front().image.rgb) << method;
    EXPECT_EQ(results[1].settings.seed, 2u);
  }
}

TEST(Hires, TheSecondPassMakesTheStepsThatItsStrengthSays) {
  const DiffusionModel model = load("four-level");
  HiresRequest request = request_of("latent");
  request.drawing.sampler = "ddim";
  for (const auto& [strength, calls] : std::vector<std::pair<double, int>>{{0.25, 1}, {1.0, 4}}) {
    request.strength = strength;
    EXPECT_EQ(draw(model, request).front().settings.network_calls, calls) << strength;
  }
  request.strength = 0.1;
  expect_error(ErrorKind::kInvalidArgument, {"hires_strength", "step"},
               [&] { draw(model, request); });
}

TEST(Hires, BadRequestsAreRefused) {
  const DiffusionModel model = load("four-level");
  HiresRequest request = request_of("latent");
  request.scale = 0.5;
  expect_error(ErrorKind::kInvalidArgument, {"1..8"}, [&] { draw(model, request); });
  expect_error(ErrorKind::kInvalidArgument, {"latent-bicubic", "nearest"},
               [&] { draw(model, request_of("nearest")); });
  expect_error(ErrorKind::kInvalidArgument, {"hires_upscaler"},
               [&] { draw(model, request_of("network")); });
}

}  // namespace
}  // namespace tintype::testing
