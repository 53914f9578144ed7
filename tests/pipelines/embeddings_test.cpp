// Textual inversions in whole pictures, beyond those that pictures_test compares with the
// reference.
#include <gtest/gtest.h>

#include "base/expect_error.h"
#include "models/fixture_files.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

DiffusionModel load(const char* name) {
  return DiffusionModel::load(CheckpointLayout::read(fixtures() / "models" / name), Device::kCpu,
                              RunContext());
}

std::filesystem::path embeddings_for(const char* model) {
  return fixtures() / "pipelines" / cat(model, "-embeddings") / "embeddings";
}

TextToImageResult draw(const DiffusionModel& model, const TextToImageRequest& request,
                       const DiffusionModel* refiner = nullptr) {
  return text_to_images(model, resolve_settings(model, request, refiner), RunContext(), refiner)
      .front();
}

TEST(Embeddings, EverySyntaxDrawsTheSame) {
  const DiffusionModel model = load("four-level");
  TextToImageRequest request{.prompt = "a brush in mist",
                             .steps = 2,
                             .seed = 1,
                             .embeddings = embeddings_for("four-level")};
  const auto plain = draw(model, request).image.rgb;
  request.prompt_syntax = "a1111";
  EXPECT_EQ(draw(model, request).image.rgb, plain);
  request.prompt_syntax = "comfy";
  EXPECT_NE(draw(model, request).image.rgb, plain);
  request.prompt = "a embedding:brush in embedding:mist";
  EXPECT_EQ(draw(model, request).image.rgb, plain);
  request.prompt_syntax = "a1111";
  request.prompt = "a (brush:1.4) in mist";
  EXPECT_NE(draw(model, request).image.rgb, plain);
  // In a second window, and only at some steps.
  std::string words;
  for (int i = 0; i < 80; ++i) words += "apple ";
  request.prompt = words + "brush";
  const auto late = draw(model, request).image.rgb;
  request.prompt = words + "[brush:boat:1]";
  EXPECT_NE(draw(model, request).image.rgb, late);
}

TEST(Embeddings, SingleFilesAreReadToo) {
  const DiffusionModel model = load("four-level");
  TextToImageRequest request{
      .prompt = "a <cat-toy>", .steps = 2, .seed = 1, .embeddings = embeddings_for("four-level")};
  const auto from_folder = draw(model, request).image.rgb;
  request.embeddings /= "cat.safetensors";
  EXPECT_EQ(draw(model, request).image.rgb, from_folder);
  request.prompt = "a cat";
  EXPECT_EQ(draw(model, request).image.rgb, from_folder) << "by the file's name";
}

TEST(Embeddings, ARefinerTakesItsHalf) {
  const DiffusionModel base = load("sdxl"), refiner = load("sdxl-refiner");
  TextToImageRequest request{.prompt = "a dog", .steps = 4, .refiner_start = 0.5, .seed = 1};
  request.embeddings = embeddings_for("sdxl");
  EXPECT_TRUE(draw(base, request, &refiner).settings.skipped_embeddings.empty());
  // Made for the base's second encoder, whose width is not the refiner's.
  request.prompt = "a brush";
  const auto skipped = draw(base, request, &refiner).settings.skipped_embeddings;
  ASSERT_EQ(skipped.size(), 1u);
  EXPECT_NE(skipped[0].find("[n,28]"), std::string::npos) << skipped[0];
}

TEST(Embeddings, WhatDoesNotFitIsNamed) {
  const DiffusionModel model = load("four-level"), sdxl = load("sdxl");
  TextToImageRequest request{.prompt = "a brush", .steps = 1, .seed = 1};
  request.embeddings = embeddings_for("sdxl") / "brush.safetensors";
  expect_error(ErrorKind::kUnsupported, {"brush.safetensors", "[n,32]", "[3,24]", "family"},
               [&] { draw(model, request); });
  request.embeddings = embeddings_for("four-level") / "brush.safetensors";
  expect_error(ErrorKind::kUnsupported, {"brush.safetensors", "[n,24]", "[3,32]"},
               [&] { draw(sdxl, request); });
  request.embeddings = embeddings_for("four-level") / "nothing.safetensors";
  expect_error(ErrorKind::kNotFound, {"nothing"}, [&] { draw(model, request); });
}

TEST(Embeddings, OverridesStandWhereTheyAreTold) {
  const DiffusionModel model = load("four-level");
  const TextEncoder& encoder = *model.text_towers[0].encoder;
  const auto width = static_cast<size_t>(encoder.traits().width);
  const std::vector<int32_t> ids = {1, 2, 1 << 30, 4, 5, 6, 7, 8};
  const Tensor rows = host_tensor(Shape{2, 4}, std::span<const int32_t>(ids));
  const std::vector<float> vector(width, 0.25f);
  const std::vector<TokenOverride> overrides = {{.row = 0, .position = 2, .vector = vector}};
  const auto embedded = [&](const Tensor& tokens, std::span<const TokenOverride> with) {
    return encoder
        .encode(tokens, {.skipped_layers = encoder.traits().layers,
                         .final_layer_norm = false,
                         .overrides = with})
        .hidden;
  };
  std::vector<int32_t> known = ids;
  known[2] = 3;
  const Tensor without = embedded(host_tensor(rows.shape(), std::span<const int32_t>(known)), {});
  const Tensor with = embedded(rows, overrides);
  for (int64_t i = 0; i < with.numel(); ++i) {
    const bool same = with.data<float>()[i] == without.data<float>()[i];
    ASSERT_EQ(same, i / static_cast<int64_t>(width) != 2) << i;
  }
  expect_error(ErrorKind::kInvalidArgument, {"ids"}, [&] { embedded(rows, {}); });
  for (const TokenOverride& wrong :
       {TokenOverride{.row = 2, .position = 0, .vector = vector},
        TokenOverride{.row = 0, .position = 4, .vector = vector},
        TokenOverride{.row = 0, .position = -1, .vector = vector},
        TokenOverride{.row = 0, .position = 0, .vector = std::span(vector).first(3)}})
    expect_error(ErrorKind::kInvalidArgument, {"override"},
                 [&] { embedded(rows, std::vector<TokenOverride>{wrong}); });
}

}  // namespace
}  // namespace tintype::testing
