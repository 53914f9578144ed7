/// What a single file leaves open and how it is filled: tokenizer, schedule, text encoder.
#include <gtest/gtest.h>

#include "base/expect_error.h"
#include "base/temporary_folder.h"
#include "pipelines/diffusion_model.h"
#include "pipelines/key_list_file.h"
#include "tintype/prompt.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;
using testing::expect_error;
using testing::ListedTensor;
using testing::read_key_list;
using testing::write_key_list_file;

/// The ids that transformers gives for "a red fox!" with CLIP's vocabulary.
const std::vector<int32_t> kFox = {320, 736, 3240, 256};
const std::vector<int32_t> kFoxOfOpenClip = {320, 736, 3240, 0};

class SingleFileOptions : public ::testing::Test {
 protected:
  fs::path write(const std::string& list, const std::string& name = "model.safetensors") {
    const fs::path file = folder_.path() / name;
    write_key_list_file(file, read_key_list(list));
    return file;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(SingleFileOptions, TokenizersAreClipsOwnPaddedAsTheTowersWere) {
  const auto first = CheckpointLayout::read(write("sd15.original"));
  ASSERT_EQ(first.text_towers.size(), 1u);
  EXPECT_EQ(first.text_towers[0].tokenizer.encode("a red fox!"), kFox);
  EXPECT_EQ(first.text_towers[0].tokenizer.pad_id(), 49407);

  const auto second = CheckpointLayout::read(write("sd21.original"));
  ASSERT_EQ(second.text_towers.size(), 1u);
  EXPECT_EQ(second.text_towers[0].tokenizer.encode("a red fox!"), kFoxOfOpenClip);
  EXPECT_EQ(second.text_towers[0].tokenizer.pad_id(), 0);

  const auto xl = CheckpointLayout::read(write("sdxl.original"));
  ASSERT_EQ(xl.text_towers.size(), 2u);
  EXPECT_EQ(xl.text_towers[0].tokenizer.encode("a red fox!"), kFox);
  EXPECT_EQ(xl.text_towers[1].tokenizer.encode("a red fox!"), kFoxOfOpenClip);
  EXPECT_EQ(xl.text_towers[0].tokenizer.pad_id(), 49407);
  EXPECT_EQ(xl.text_towers[1].tokenizer.pad_id(), 0);

  const auto refiner = CheckpointLayout::read(write("sdxl-refiner.original"));
  ASSERT_EQ(refiner.text_towers.size(), 1u);
  EXPECT_EQ(refiner.text_towers[0].tokenizer.pad_id(), 0);
}

TEST_F(SingleFileOptions, VocabularyOfAnotherSizeNeedsItsTokenizer) {
  std::vector<ListedTensor> tensors = read_key_list("sd15.original");
  for (ListedTensor& tensor : tensors)
    if (tensor.name.ends_with("token_embedding.weight")) tensor.shape[0] = 3286;
  const fs::path file = folder_.path() / "small.safetensors";
  write_key_list_file(file, tensors);
  expect_error(ErrorKind::kInvalidArgument, {"--tokenizer"}, [&] { CheckpointLayout::read(file); });
  const fs::path demo = fs::path(TT_SOURCE_DIR) / "models/tintype-emoji-128/tokenizer";
  const auto layout = CheckpointLayout::read(file, {.tokenizers = {demo}});
  EXPECT_EQ(layout.text_towers[0].tokenizer.vocabulary_size(), 3286);
}

TEST_F(SingleFileOptions, PromptsAreDescribedOfEveryFamily) {
  struct Case {
    const char* list;
    std::vector<int32_t> words;
  };
  for (const Case& c :
       {Case{"sd15.original", kFox}, Case{"sd21.original", kFoxOfOpenClip},
        Case{"sdxl.original", kFox}, Case{"sdxl-refiner.original", kFoxOfOpenClip}}) {
    SCOPED_TRACE(c.list);
    const PromptDescription description = describe_prompt(write(c.list), "a (red:1.3) fox!");
    ASSERT_EQ(description.prompts.size(), 1u);
    const auto& tokens = description.prompts[0].windows.at(0).tokens;
    ASSERT_EQ(tokens.size(), 6u);
    for (size_t i = 0; i < c.words.size(); ++i) EXPECT_EQ(tokens[i + 1].id, c.words[i]);
    EXPECT_EQ(tokens[2].text, "red</w>");
    EXPECT_FLOAT_EQ(tokens[2].weight, 1.3f);
    EXPECT_EQ(tokens[0].text, "<|startoftext|>");
  }
}

TEST_F(SingleFileOptions, PromptsOfAFileTakeAnotherTokenizer) {
  const fs::path demo = fs::path(TT_SOURCE_DIR) / "models/tintype-emoji-128";
  PromptOptions options{.tokenizer = demo / "tokenizer"};
  EXPECT_EQ(describe_prompt(write("sd15.original"), "apple", options)
                .prompts.at(0)
                .windows.at(0)
                .tokens.at(0)
                .id,
            3284);
  expect_error(ErrorKind::kInvalidArgument, {"folder"},
               [&] { describe_prompt(demo, "apple", options); });
}

TEST_F(SingleFileOptions, TextEncoderForARefinerIsRefused) {
  const fs::path encoder = write("sd15.original", "encoder.safetensors");
  const fs::path refiner = write("sdxl-refiner.original");
  expect_error(ErrorKind::kInvalidArgument, {"text_encoder"},
               [&] { CheckpointLayout::read(refiner, {.text_encoder = encoder}); });
  EXPECT_NE(CheckpointLayout::read(write("sdxl.original"), {.text_encoder = encoder})
                .text_towers.at(0)
                .encoder.config_origin.find("encoder.safetensors"),
            std::string::npos);
}

TEST_F(SingleFileOptions, DistilledModelsAreToldByTheirNameAndBySayingSo) {
  const auto read = [&](const char* list, const char* name, const LoadOptions& options = {}) {
    return CheckpointLayout::read(write(list, name), options);
  };
  const auto xl = read("sdxl.original", "sd_xl_Turbo_1.0.safetensors");
  EXPECT_EQ(xl.schedule.class_name, "EulerAncestralDiscreteScheduler");
  EXPECT_EQ(xl.schedule.timestep_spacing, TimestepSpacing::kTrailing);
  EXPECT_NE(xl.note.find("turbo"), std::string::npos) << xl.note;

  const auto sd2 = read("sd21.original", "sd_turbo.safetensors");
  EXPECT_EQ(sd2.schedule.class_name, "EulerDiscreteScheduler");
  EXPECT_EQ(sd2.schedule.timestep_spacing, TimestepSpacing::kTrailing);

  const auto lightning = read("sdxl.original", "sdxl_lightning_4step.safetensors");
  EXPECT_EQ(lightning.schedule.class_name, "EulerDiscreteScheduler");
  EXPECT_EQ(lightning.schedule.timestep_spacing, TimestepSpacing::kTrailing);

  EXPECT_EQ(read("sdxl.original", "sd_xl_base.safetensors").schedule.timestep_spacing,
            TimestepSpacing::kLeading);
  EXPECT_EQ(read("sd15.original", "turbo.safetensors").schedule.timestep_spacing,
            TimestepSpacing::kLeading);
  EXPECT_EQ(read("sdxl.original", "a.safetensors", {.timestep_spacing = "trailing"})
                .schedule.timestep_spacing,
            TimestepSpacing::kTrailing);
  EXPECT_EQ(read("sdxl.original", "turbo.safetensors", {.timestep_spacing = "leading"})
                .schedule.timestep_spacing,
            TimestepSpacing::kLeading);
  const fs::path demo = fs::path(TT_SOURCE_DIR) / "models/tintype-emoji-128";
  EXPECT_EQ(
      CheckpointLayout::read(demo, {.timestep_spacing = "linspace"}).schedule.timestep_spacing,
      TimestepSpacing::kLinspace);
  expect_error(ErrorKind::kInvalidArgument, {"leading, trailing or linspace", "even"},
               [&] { CheckpointLayout::read(demo, {.timestep_spacing = "even"}); });
}

TEST_F(SingleFileOptions, FoldersRefuseWhatWouldDoNothing) {
  const fs::path demo = fs::path(TT_SOURCE_DIR) / "models/tintype-emoji-128";
  expect_error(ErrorKind::kInvalidArgument, {"vae"},
               [&] { CheckpointLayout::read(demo, {.vae = "vae.safetensors"}); });
  expect_error(ErrorKind::kInvalidArgument, {"prediction"},
               [&] { CheckpointLayout::read(demo, {.prediction_type = "epsilon"}); });
}

}  // namespace
}  // namespace tintype
