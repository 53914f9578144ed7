// Every block of every fixture model against the reference's dump, on every backend that computes.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/registry.h"
#include "models/fixture_files.h"
#include "models/registry.h"
#include "ops/ops.h"

namespace tintype::testing {
namespace {

// Both sides compute in f32 with their own order of summation. A block is some 10 to 40 roundings
// of sums of up to a few thousand terms deep: eps * sqrt(terms) * depth is about 1e-4 of the
// largest value at worst, and 3e-5 leaves room over what is seen (5e-6) while any wrong constant,
// axis or epsilon shows as 1e-3 and more.
constexpr double kRelativeTolerance = 3e-5;

struct Setup {
  std::string fixture;
  Device device;
};

std::vector<Setup> setups() {
  std::vector<Setup> result;
  for (const std::string& name : fixture_names("models"))
    for (const Device device : available_devices()) result.push_back({name, device});
  return result;
}

class Blocks : public ::testing::TestWithParam<Setup> {
 protected:
  std::filesystem::path folder() const { return fixtures() / "models" / GetParam().fixture; }
  Dump dump() const { return Dump(folder() / "blocks.safetensors"); }
  Tensor on_device(const Tensor& x) const { return ops::to_device(x, GetParam().device); }

  static void expect_close(const Dump& dump, const std::string& name,
                           const Tensor& on_some_device) {
    const Tensor actual = ops::to_host(on_some_device), expected = dump.channels_last(name);
    ASSERT_EQ(actual.numel(), expected.numel()) << name << " " << actual.shape();
    double scale = 0, worst = 0;
    for (int64_t i = 0; i < expected.numel(); ++i) {
      scale = std::max<double>(scale, std::fabs(expected.data<float>()[i]));
      const double error = std::fabs(actual.data<float>()[i] - expected.data<float>()[i]);
      ASSERT_TRUE(std::isfinite(error)) << name << " element " << i;
      worst = std::max(worst, error);
    }
    EXPECT_LE(worst, kRelativeTolerance * scale) << name << ", largest value " << scale;
    RecordProperty(name, cat(worst / scale));
  }

  /// A hook that compares what the dump has and counts it.
  static nn::Trace comparing(const Dump& dump, const std::string& prefix, int& compared) {
    return [&dump, prefix, &compared](const std::string& name, const Tensor& output) {
      if (!dump.has(prefix + name)) return;
      // The reference computes positions and embeddings once; we once per row.
      const Tensor expected = dump.raw(prefix + name);
      const Tensor rows =
          output.dim(0) == expected.dim(0) ? output : output.slice(0, expected.dim(0));
      expect_close(dump, prefix + name, rows);
      ++compared;
    };
  }
};

TEST_P(Blocks, TextEncodersMatchTheReference) {
  const Dump reference = dump();
  int towers = 0;
  for (const std::string suffix : {"", "_2"}) {
    const std::string prefix = cat("text", suffix, ".");
    if (!reference.has(prefix + "input.ids")) continue;
    ++towers;
    const bool pools = reference.has(prefix + "output.pooled");
    const auto encoder =
        load_text_encoder(folder_component(folder() / cat("text_encoder", suffix),
                                           pools ? "CLIPTextModelWithProjection" : "CLIPTextModel"),
                          GetParam().device);
    int compared = 0;
    const nn::Trace trace = comparing(reference, prefix, compared);
    const Tensor ids = on_device(reference.raw(prefix + "input.ids"));
    const TextFeatures last = encoder->encode(ids, {}, &trace);
    expect_close(reference, prefix + "output.hidden", last.hidden);
    EXPECT_GE(compared, 1) << "the dump names no intermediate that the model traces";

    ASSERT_EQ(last.pooled.defined(), pools);
    if (pools) expect_close(reference, prefix + "output.pooled", last.pooled);
    if (!pools && !reference.has(prefix + "output.penultimate")) continue;
    const TextFeatures penultimate =
        encoder->encode(ids, {.skipped_layers = 1, .final_layer_norm = false});
    expect_close(reference, prefix + "output.penultimate", penultimate.hidden.slice(0, 1));
    ASSERT_EQ(penultimate.pooled.defined(), pools);
    if (pools) expect_close(reference, prefix + "output.pooled", penultimate.pooled);
  }
  EXPECT_GE(towers, 1);
}

TEST_P(Blocks, TextEncoderRefusesToSkipMoreLayersThanItHas) {
  const Dump reference = dump();
  const std::string suffix = reference.has("text.input.ids") ? "" : "_2";
  const auto encoder = load_text_encoder(
      folder_component(folder() / cat("text_encoder", suffix), "CLIPTextModel"), GetParam().device);
  const Tensor ids = on_device(reference.raw(cat("text", suffix, ".input.ids")));
  const int64_t layers = encoder->traits().layers;
  // All of them skipped leaves the embeddings.
  EXPECT_EQ(encoder->encode(ids, {.skipped_layers = layers}).hidden.shape(),
            encoder->encode(ids).hidden.shape());
  for (const int64_t skipped : {int64_t{-1}, layers + 1})
    EXPECT_THROW(encoder->encode(ids, {.skipped_layers = skipped}), Error) << skipped;
}

TEST_P(Blocks, EveryUnetBlockMatchesTheReference) {
  const Dump reference = dump();
  const auto unet = load_denoising_network(
      folder_component(folder() / "unet", "UNet2DConditionModel"), GetParam().device);
  int compared = 0;
  const nn::Trace trace = comparing(reference, "unet.", compared);
  const Tensor timestep = reference.raw("unet.input.timestep");
  Conditioning conditioning{.context = on_device(reference.raw("unet.input.context"))};
  if (reference.has("unet.input.pooled")) {
    conditioning.pooled = on_device(reference.raw("unet.input.pooled"));
    conditioning.time_ids = reference.raw("unet.input.time_ids");
  }
  const Tensor out = unet->forward(on_device(reference.channels_last("unet.input.sample")),
                                   timestep.data<float>()[0], conditioning, &trace);
  expect_close(reference, "unet.output.sample", out);
  EXPECT_GE(compared, 4) << "the dump names too few blocks that the model traces";
}

TEST_P(Blocks, AutoencoderMatchesTheReference) {
  const Dump reference = dump();
  const auto codec =
      load_latent_codec(folder_component(folder() / "vae", "AutoencoderKL"), GetParam().device);
  int compared = 0;
  const nn::Trace trace = comparing(reference, "vae.", compared);
  expect_close(reference, "vae.output.image",
               codec->decode(on_device(reference.channels_last("vae.input.latent")), &trace));
  expect_close(
      reference, "vae.output.moments",
      codec->encode_moments(on_device(reference.channels_last("vae.input.image")), &trace));
  EXPECT_GE(compared, 5) << "the dump names too few blocks that the model traces";
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Blocks, ::testing::ValuesIn(setups()), [](const auto& param) {
  std::string name = cat(param.param.fixture, "_", param.param.device);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace tintype::testing
