// Profiles: names, parts, and what they make of a component's layers.
#include "models/precision.h"

#include <gtest/gtest.h>

#include "base/expect_error.h"
#include "models/fixture_files.h"
#include "pipelines/memory_prediction.h"

namespace tintype::testing {
namespace {

CheckpointLayout layout(const std::string& profile) {
  return CheckpointLayout::read(fixtures() / "models" / "four-level", {.profile = profile});
}

TEST(Profile, PartsTakeTheirOwnProfile) {
  const ProfileChoice choice = ProfileChoice::parse("fast,vae=exact+text_encoder=low-memory");
  EXPECT_EQ(choice.of("unet"), "fast");
  EXPECT_EQ(choice.of("vae"), "exact");
  EXPECT_EQ(choice.of("text_encoder"), "low-memory");
  EXPECT_EQ(choice.of("text_encoder_2"), "low-memory");
  EXPECT_EQ(choice.text(), "fast,text_encoder=low-memory,vae=exact");
  EXPECT_EQ(ProfileChoice::parse(choice.text()).text(), choice.text());
}

TEST(Profile, TheShortestFormLeavesOutWhatSaysNothing) {
  EXPECT_EQ(ProfileChoice::parse("").text(), "exact");
  EXPECT_EQ(ProfileChoice::parse("vae=balanced,balanced").text(), "balanced");
  EXPECT_EQ(ProfileChoice::parse("unet=balanced").text(), "exact,unet=balanced");
}

TEST(Profile, WrongNamesProposeTheNearest) {
  const auto message = [](const char* text) {
    try {
      ProfileChoice::parse(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(message("balancd").find("did you mean balanced?"), std::string::npos);
  EXPECT_NE(message("uent=fast").find("did you mean unet?"), std::string::npos);
  EXPECT_NE(message("exact,fast").find("got a second"), std::string::npos);
  EXPECT_NE(message("vae=fast,vae=exact").find("got two for vae"), std::string::npos);
  EXPECT_NE(message("vae=").find("must be one of"), std::string::npos);
}

TEST(Profile, EveryComponentOfAFolderGetsItsPlan) {
  const CheckpointLayout mixed = layout("balanced,vae=exact");
  EXPECT_EQ(mixed.network.profile, "balanced");
  EXPECT_EQ(mixed.network.precision.format_for("mid_block.resnets.0.conv1"), WeightFormat::kInt8);
  EXPECT_EQ(mixed.network.precision.format_for("conv_in"), WeightFormat::kStored);
  EXPECT_TRUE(mixed.codec.precision.rules.empty());
  EXPECT_TRUE(mixed.text_towers[0].encoder.precision.rules.empty());
  EXPECT_FALSE(layout("low-memory").text_towers[0].encoder.precision.rules.empty());
}

TEST(Profile, ThePredictionFollowsThePlan) {
  const MetaModel exact = load_meta_model(layout("")), low = load_meta_model(layout("low-memory"));
  EXPECT_EQ(exact.network.count.int8_layers, 0u);
  EXPECT_GT(low.network.count.int8_layers, 0u);
  EXPECT_EQ(exact.network.count.stored_layers,
            low.network.count.stored_layers + low.network.count.int8_layers);
  EXPECT_EQ(exact.network.count.stored_parameters,
            low.network.count.stored_parameters + low.network.count.int8_parameters);
  EXPECT_GT(low.text_towers[0].count.int8_layers, 0u);
  for (const MetaModel* meta : {&exact, &low}) {
    uint64_t parts = meta->network.bytes + meta->codec.bytes;
    for (const PackedPart& tower : meta->text_towers) parts += tower.bytes;
    EXPECT_EQ(parts, meta->weight_bytes);
  }
}

// On a model of some size: a fixture's few channels are padded to more than they save.
TEST(Profile, EightBitWeightsTakeLessMemory) {
  const auto bytes = [](const char* profile) {
    return load_meta_model(CheckpointLayout::read(
                               std::filesystem::path(TT_SOURCE_DIR) / "models/tintype-emoji-128",
                               {.profile = profile}))
        .weight_bytes;
  };
  EXPECT_LT(bytes("balanced"), bytes("exact") * 7 / 10);
  EXPECT_LT(bytes("low-memory"), bytes("balanced"));
  EXPECT_EQ(bytes("fast"), bytes("balanced"));
}

}  // namespace
}  // namespace tintype::testing
