// What names in adapter files mean, and tags in prompts.
#include <gtest/gtest.h>

#include "adapters/adapter_keys.h"
#include "base/expect_error.h"
#include "prompts/adapter_tags.h"

namespace tintype {
namespace {

struct Spelling {
  const char* name;
  const char* component;
  const char* module;
  AdapterTensor tensor;
};

TEST(AdapterKeys, EverySpellingOfALayerIsTheSameLayer) {
  constexpr const char* kUnet = "down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_out_0";
  constexpr const char* kText = "encoder_layers_3_self_attn_q_proj";
  using T = AdapterTensor;
  const Spelling table[] = {
      {"lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_out_0.lora_down.weight",
       "unet", kUnet, T::kDown},
      {"unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0.lora_B.weight", "unet",
       kUnet, T::kUp},
      {"base_model.model.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0.lora_A."
       "default.weight",
       "", kUnet, T::kDown},
      {"unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
       "unet", kUnet, T::kUp},
      {"down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0.lora.down.weight", "", kUnet,
       T::kDown},
      {"lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_out_0.alpha", "unet",
       kUnet, T::kAlpha},
      {"lora_te_text_model_encoder_layers_3_self_attn_q_proj.lora_up.weight", "text_encoder", kText,
       T::kUp},
      {"lora_te2_text_model_encoder_layers_3_self_attn_q_proj.hada_w1_a", "text_encoder_2", kText,
       T::kHadaW1A},
      {"text_encoder_2.encoder.layers.3.self_attn.q_proj.lora_A.weight", "text_encoder_2", kText,
       T::kDown},
      {"text_encoder.text_model.encoder.layers.3.self_attn.to_q_lora.down.weight", "text_encoder",
       kText, T::kDown},
      {"text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_linear_layer.up.weight",
       "text_encoder", kText, T::kUp},
      {"lora_unet_input_blocks_4_1_proj_in.lokr_w2_b", "unet", "input_blocks_4_1_proj_in",
       T::kLokrW2B},
      {"base_model.model.mid_block.resnets.0.conv1.lora_magnitude_vector", "",
       "mid_block_resnets_0_conv1", T::kMagnitude}};
  for (const Spelling& expected : table) {
    const auto key = parse_adapter_key(expected.name);
    ASSERT_TRUE(key) << expected.name;
    EXPECT_EQ(key->component, expected.component) << expected.name;
    EXPECT_EQ(key->module, expected.module) << expected.name;
    EXPECT_EQ(key->tensor, expected.tensor) << expected.name;
  }
}

TEST(AdapterKeys, WhatNobodyWritesHasNoMeaning) {
  for (const char* name : {"", "weight", ".alpha", "lora_down.weight", "conv_in.weight",
                           "unet.conv_in.lora_C.weight", "x.on_input"})
    EXPECT_FALSE(parse_adapter_key(name)) << name;
}

TEST(AdapterTags, AreTakenOutOfThePrompt) {
  const TaggedPrompt p = take_adapter_tags(
      "a <cat> <lora:ink:0.8>, fox<lyco:a b:0.5:1.5> <lora:x><lora:y:te=0:unet=2>");
  EXPECT_EQ(p.text, "a <cat> , fox ");
  ASSERT_EQ(p.tags.size(), 4u);
  EXPECT_EQ(p.tags[0].name, "ink");
  EXPECT_EQ(p.tags[0].weight, 0.8f);
  EXPECT_FALSE(p.tags[0].text_weight);
  EXPECT_EQ(p.tags[1].name, "a b");
  EXPECT_EQ(p.tags[1].text_weight, 0.5f);
  EXPECT_EQ(p.tags[1].weight, 1.5f);
  EXPECT_EQ(p.tags[2].weight, 1.0f);
  EXPECT_EQ(p.tags[3].text_weight, 0.0f);
  EXPECT_EQ(p.tags[3].weight, 2.0f);
}

TEST(AdapterTags, WhatIsNoTagStaysText) {
  for (const char* text : {"a < b > c", "<lora", "<lora:ink:0.8", "<loraink>", "< lora:ink>", ""}) {
    EXPECT_EQ(take_adapter_tags(text).text, text);
    EXPECT_TRUE(take_adapter_tags(text).tags.empty());
  }
}

TEST(AdapterTags, AFaultyTagIsRefused) {
  for (const char* text : {"<lora:>", "<lora::1>", "<lora:ink:much>", "<lora:ink:nan>",
                           "<lora:ink:1:2:3>", "<lora:ink:>"})
    testing::expect_error(ErrorKind::kInvalidArgument, {"<lora:NAME:WEIGHT>"},
                          [&] { take_adapter_tags(text); });
}

}  // namespace
}  // namespace tintype
