// Configs are hostile: each fault is one Error that names the key, and absurd numbers allocate
// nothing.
#include <gtest/gtest.h>

#include "models/autoencoder_kl/autoencoder_kl.h"
#include "models/clip_text/clip_text.h"
#include "models/unet_2d_condition/config.h"

namespace tintype {
namespace {

template <typename Config>
void expect_refused(const char* text, ErrorKind kind, const char* words) {
  const Json json = parse_json(text, "config.json");
  try {
    Config::from_json(JsonObject(json, "config.json"));
    ADD_FAILURE() << "accepted " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST(UnetConfig, RefusesWhatItCannotRun) {
  using C = Unet2dConditionConfig;
  expect_refused<C>(R"({"block_out_channels": [32, 33]})", ErrorKind::kCorruptFile,
                    "entry for each");
  expect_refused<C>(R"({"block_out_channels": []})", ErrorKind::kCorruptFile, "block_out_channels");
  expect_refused<C>(R"({"block_out_channels": [32], "down_block_types": ["DownBlock2D"],
                        "up_block_types": ["UpBlock2D"], "norm_num_groups": 5})",
                    ErrorKind::kCorruptFile, "norm_num_groups");
  expect_refused<C>(R"({"block_out_channels": [99999999999]})", ErrorKind::kCorruptFile,
                    "block_out_channels");
  expect_refused<C>(
      R"({"down_block_types": ["AttnDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"]})",
      ErrorKind::kUnsupported, "AttnDownBlock2D");
  expect_refused<C>(R"({"addition_embed_type": "text_image"})", ErrorKind::kUnsupported,
                    "addition_embed_type");
  expect_refused<C>(R"({"addition_embed_type": "text_time"})", ErrorKind::kCorruptFile,
                    "addition_time_embed_dim");
  expect_refused<C>(R"({"addition_embed_type": "text_time", "addition_time_embed_dim": 256})",
                    ErrorKind::kCorruptFile, "projection_class_embeddings_input_dim");
  expect_refused<C>(R"({"transformer_layers_per_block": [1, 2, 10]})", ErrorKind::kCorruptFile,
                    "transformer_layers_per_block");
  expect_refused<C>(R"({"transformer_layers_per_block": [1, 2, [1, 2, 3], 1],
                        "reverse_transformer_layers_per_block": [1, 1, 1, 1]})",
                    ErrorKind::kCorruptFile, "transformer_layers_per_block");
  expect_refused<C>(R"({"transformer_layers_per_block": [1, [1, 2], 1, 1]})",
                    ErrorKind::kCorruptFile, "reverse_transformer_layers_per_block");
  expect_refused<C>(R"({"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"})",
                    ErrorKind::kUnsupported, "mid_block_type");
  expect_refused<C>(R"({"only_cross_attention": true})", ErrorKind::kUnsupported,
                    "only_cross_attention");
  expect_refused<C>(R"({"act_fn": "mish"})", ErrorKind::kUnsupported, "mish");
  expect_refused<C>(R"({"attention_head_dim": 0})", ErrorKind::kCorruptFile, "attention_head_dim");
  expect_refused<C>(R"({"layers_per_block": "two"})", ErrorKind::kCorruptFile, "layers_per_block");
  expect_refused<C>(R"({"mid_block_scale_factor": 2})", ErrorKind::kUnsupported,
                    "mid_block_scale_factor");
}

TEST(UnetConfig, TakesTheReferencesDefaults) {
  const Json json = parse_json("{}", "config.json");
  const auto c = Unet2dConditionConfig::from_json(JsonObject(json, "config.json"));
  ASSERT_EQ(c.levels.size(), 4u);
  EXPECT_EQ(c.levels[0].channels, 320);
  EXPECT_EQ(c.time_embedding_dim, 1280);
  EXPECT_TRUE(c.levels[0].down_attention && c.levels[0].up_attention);
  EXPECT_FALSE(c.levels[3].down_attention || c.levels[3].up_attention);
  EXPECT_EQ(c.levels[3].heads, 8);
  EXPECT_EQ(c.mid_block, Unet2dConditionConfig::MidBlock::kAttention);
  EXPECT_EQ(c.added_width, 0);
}

TEST(UnetConfig, ReadsDepthsOfEveryForm) {
  const Json json = parse_json(
      R"({"layers_per_block": [2, 1, 2, 1], "transformer_layers_per_block": [1, 2, [3, 4], 5],
          "reverse_transformer_layers_per_block": [6, [7, 8, 9], [10, 11], 12],
          "mid_block_type": null})",
      "config.json");
  const auto c = Unet2dConditionConfig::from_json(JsonObject(json, "config.json"));
  using Depths = std::vector<int64_t>;
  EXPECT_EQ(c.mid_block, Unet2dConditionConfig::MidBlock::kNone);
  EXPECT_EQ(c.levels[0].down_layers, (Depths{1, 1}));
  EXPECT_EQ(c.levels[0].up_layers, (Depths{12, 12, 12}));
  EXPECT_EQ(c.levels[1].up_layers, (Depths{10, 11}));
  EXPECT_EQ(c.levels[2].down_layers, (Depths{3, 4}));
  EXPECT_EQ(c.levels[2].up_layers, (Depths{7, 8, 9}));
  EXPECT_EQ(c.levels[3].down_layers, (Depths{5}));
  EXPECT_EQ(c.levels[3].mid_layers, 5);
}

TEST(ClipTextConfig, RefusesWhatItCannotRun) {
  using C = ClipTextConfig;
  expect_refused<C>(R"({"hidden_size": 10, "num_attention_heads": 3})", ErrorKind::kCorruptFile,
                    "num_attention_heads");
  expect_refused<C>(R"({"vocab_size": -1})", ErrorKind::kCorruptFile, "vocab_size");
  expect_refused<C>(R"({"hidden_act": "relu6"})", ErrorKind::kUnsupported, "relu6");
  expect_refused<C>(R"({"layer_norm_eps": 0})", ErrorKind::kCorruptFile, "layer_norm_eps");
}

TEST(AutoencoderConfig, RefusesWhatItCannotRun) {
  using C = AutoencoderKlConfig;
  expect_refused<C>(R"({"block_out_channels": [30], "norm_num_groups": 32})",
                    ErrorKind::kCorruptFile, "norm_num_groups");
  expect_refused<C>(R"({"down_block_types": ["AttnDownEncoderBlock2D"]})", ErrorKind::kUnsupported,
                    "AttnDownEncoderBlock2D");
  expect_refused<C>(R"({"scaling_factor": 0})", ErrorKind::kCorruptFile, "scaling_factor");
  expect_refused<C>(R"({"latents_mean": [0, 0, 0, 0]})", ErrorKind::kUnsupported, "latents_mean");
}

}  // namespace
}  // namespace tintype
