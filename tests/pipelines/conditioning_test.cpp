// What a model with two text encoders and size conditioning is told, beyond what pictures_test
// compares with the reference.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/expect_error.h"
#include "models/fixture_files.h"
#include "pipelines/prompt_encoding.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

DiffusionModel load(const char* name) {
  return DiffusionModel::load(CheckpointLayout::read(fixtures() / "models" / name), Device::kCpu,
                              RunContext());
}

class Conditioned : public ::testing::Test {
 protected:
  Conditioning encoded(const TextToImageRequest& request) const {
    return encode_prompts(model_, resolve_settings(model_, request)).variants.at(0);
  }
  const DiffusionModel model_ = load("sdxl");
};

TEST_F(Conditioned, EachEncoderReadsItsOwnText) {
  const Conditioning same = encoded({.prompt = "a boat"});
  const Conditioning two = encoded({.prompt = "a boat", .prompt_2 = "a fox"});
  const int64_t first = model_.text_towers[0].encoder->traits().width, width = same.context.dim(2);
  // The last row is the positive prompt's; its first columns are the first encoder's.
  bool first_differs = false, second_differs = false;
  for (int64_t i = same.context.numel() / 2; i < same.context.numel(); ++i) {
    const bool differs = same.context.data<float>()[i] != two.context.data<float>()[i];
    (i % width < first ? first_differs : second_differs) |= differs;
  }
  EXPECT_FALSE(first_differs);
  EXPECT_TRUE(second_differs);
}

TEST_F(Conditioned, TextsOfAllLengthsAndEditsAreJoined) {
  std::string words;
  for (int i = 0; i < 200; ++i) words += "apple ";
  for (const char* syntax : {"a1111", "comfy"}) {
    const Conditioning c = encoded({.prompt = "a boat",
                                    .negative_prompt = "fog",
                                    .prompt_2 = "a fox",
                                    .negative_prompt_2 = words,
                                    .prompt_syntax = syntax});
    const int64_t window = model_.text_towers[0].encoder->traits().window;
    EXPECT_EQ(c.context.dim(0), 2);
    EXPECT_EQ(c.context.dim(1) % window, 0);
    EXPECT_GT(c.context.dim(1), window);
  }
  const auto edited = encode_prompts(model_, resolve_settings(model_, {.prompt = "a [b:c:2] d",
                                                                       .negative_prompt = "fog",
                                                                       .prompt_2 = "[x:y:4]",
                                                                       .steps = 6,
                                                                       .prompt_syntax = "a1111"}));
  EXPECT_EQ(edited.of_step, (std::vector<size_t>{0, 0, 1, 1, 2, 2}));
}

TEST_F(Conditioned, SecondPromptsThatNobodyWouldReadAreRefused) {
  const DiffusionModel one_tower = load("four-level");
  for (const TextToImageRequest& request :
       {TextToImageRequest{.prompt = "a", .prompt_2 = "b"},
        TextToImageRequest{.prompt = "a", .negative_prompt_2 = "b"}})
    expect_error(ErrorKind::kInvalidArgument, {"prompt_2", "four-level"},
                 [&] { resolve_settings(one_tower, request); });
  expect_error(ErrorKind::kInvalidArgument, {"negative_prompt_2", "needs negative_prompt"},
               [&] { resolve_settings(model_, {.prompt = "a", .negative_prompt_2 = "b"}); });
  expect_error(ErrorKind::kInvalidArgument, {"prompt", "bytes"}, [&] {
    resolve_settings(model_, {.prompt = "a", .prompt_2 = std::string(1 << 20, 'a')});
  });
}

TEST_F(Conditioned, SettingsTellWhatIsNotTheDefault) {
  using Json = nlohmann::json;
  const auto settings = [&](const TextToImageRequest& request) {
    return Json::parse(settings_json(resolve_settings(model_, request)));
  };
  const Json plain = settings({.prompt = "a", .width_px = 64, .height_px = 48});
  EXPECT_FALSE(plain.contains("size_conditioning"));
  EXPECT_FALSE(plain.contains("prompt_2"));
  TextToImageRequest request{.prompt = "a", .prompt_2 = "b", .width_px = 64, .height_px = 48};
  request.size_conditioning.original_width_px = 1024;
  request.size_conditioning.target_height_px = 48;
  request.size_conditioning.crop_top_px = 8;
  const Json told = settings(request);
  EXPECT_EQ(told.at("prompt_2"), "b");
  EXPECT_EQ(told.at("size_conditioning"), Json({{"original_width_px", 1024}, {"crop_top_px", 8}}));
}

}  // namespace
}  // namespace tintype::testing
