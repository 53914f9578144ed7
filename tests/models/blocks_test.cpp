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
// of sums of up to a few thousand terms deep: eps * sqrt(terms) * depth is about 1e-4 of the largest
// value at worst, and 3e-5 leaves room over what is seen (5e-6) while any wrong constant, axis or
// epsilon shows as 1e-3 and more.
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

  static void expect_close(const Dump& dump, const std::string& name, const Tensor& on_some_device) {
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
      const Tensor rows = output.dim(0) == expected.dim(0) ? output : output.slice(0, expected.dim(0));
      expect_close(dump, prefix + name, rows);
      ++compared;
    };
  }
};

TEST_P(Blocks, TextEncoderMatchesTheReference) {
  const Dump reference = dump();
  const auto encoder = load_text_encoder({folder() / "text_encoder", "CLIPTextModel"}, GetParam().device);
  int compared = 0;
  const nn::Trace trace = comparing(reference, "text.", compared);
  const Tensor hidden = encoder->encode(on_device(reference.raw("text.input.ids")), &trace);
  expect_close(reference, "text.output.hidden", hidden);
  EXPECT_GE(compared, 1) << "the dump names no intermediate that the model traces";
}

TEST_P(Blocks, EveryUnetBlockMatchesTheReference) {
  const Dump reference = dump();
  const auto unet =
      load_denoising_network({folder() / "unet", "UNet2DConditionModel"}, GetParam().device);
  int compared = 0;
  const nn::Trace trace = comparing(reference, "unet.", compared);
  const Tensor timestep = reference.raw("unet.input.timestep");
  const Tensor out = unet->forward(on_device(reference.channels_last("unet.input.sample")),
                                   timestep.data<float>()[0],
                                   on_device(reference.raw("unet.input.context")), &trace);
  expect_close(reference, "unet.output.sample", out);
  EXPECT_GE(compared, 4) << "the dump names too few blocks that the model traces";
}

TEST_P(Blocks, AutoencoderMatchesTheReference) {
  const Dump reference = dump();
  const auto codec = load_latent_codec({folder() / "vae", "AutoencoderKL"}, GetParam().device);
  int compared = 0;
  const nn::Trace trace = comparing(reference, "vae.", compared);
  expect_close(reference, "vae.output.image",
               codec->decode(on_device(reference.channels_last("vae.input.latent")), &trace));
  expect_close(reference, "vae.output.moments",
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
