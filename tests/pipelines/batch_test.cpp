// Batches: every picture is bit for bit the one that its seed draws alone.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "backend/registry.h"
#include "models/fixture_files.h"
#include "ops/ops.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

DiffusionModel load(const std::string& name) {
  return DiffusionModel::load(CheckpointLayout::read(fixtures() / "models" / name), Device::kCpu,
                              RunContext());
}

std::vector<TextToImageResult> draw(const DiffusionModel& model, const TextToImageRequest& request,
                                    const DiffusionModel* refiner) {
  return text_to_images(model, resolve_settings(model, request, refiner), RunContext(), refiner);
}

/// Every picture of a batch of three beside the same drawn alone, bit for bit.
void expect_drawn_as_alone(const DiffusionModel& model, TextToImageRequest request,
                           const std::string& what, const DiffusionModel* refiner = nullptr) {
  request.batch_size = 3;
  const auto batch = draw(model, request, refiner);
  ASSERT_EQ(batch.size(), 3u);
  request.batch_size = 1;
  for (size_t i = 0; i < batch.size(); ++i, count_up(request, 1)) {
    const TextToImageResult alone = draw(model, request, refiner).front();
    EXPECT_EQ(batch[i].image.rgb, alone.image.rgb) << what << ", picture " << i;
    EXPECT_EQ(settings_json(batch[i].settings), settings_json(alone.settings)) << what;
  }
  EXPECT_NE(batch[0].image.rgb, batch[1].image.rgb) << what;
}

/// Deterministic numbers about zero.
Tensor pattern(const Shape& shape) {
  Tensor x = empty_host(shape);
  int64_t i = 0;
  for (float& value : x.mutable_span<float>())
    value = static_cast<float>(i++ * 7919 % 1009) / 500.0f - 1.0f;
  return x;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.bytes(), b.bytes(), a.nbytes()) == 0;
}

class Batch : public ::testing::TestWithParam<std::string> {};

TEST_P(Batch, APictureIsThePictureDrawnAlone) {
  const DiffusionModel model = load(GetParam());
  TextToImageRequest request{.prompt = "red [apple:pear:2] (house:1.3)",
                             .negative_prompt = "blue [a|b]",
                             .steps = 3,
                             .guidance_scale = 4.0f,
                             .guidance_rescale = 0.7f,
                             .sampler = "ddim",
                             .seed = 11,
                             .prompt_syntax = "a1111"};
  const Backend& cpu = backend_for(Device::kCpu);
  for (const int threads : {1, 5, 2}) {
    cpu.use_threads(threads);
    expect_drawn_as_alone(model, request, cat(threads, " threads"));
  }
  request.guidance_scale = 1.0f;
  expect_drawn_as_alone(model, request, "without guidance");
  request.rng = "philox";
  request.variation_seed = 99;
  request.variation_strength = 0.4f;
  expect_drawn_as_alone(model, request, "with variations");
}

TEST_P(Batch, SharedBeginningsAndKeptKeysAndValuesAreTheSameBits) {
  const DiffusionModel model = load(GetParam());
  const auto& traits = model.network->traits();
  const Tensor images = pattern(Shape{2, 8, 8, traits.in_channels});
  Conditioning both{.context = pattern(Shape{4, 5, traits.context_width})};
  if (traits.added_width) {
    const int64_t ids = 6;
    both.pooled = pattern(Shape{4, traits.added_width - ids * traits.time_id_width});
    both.time_ids = pattern(Shape{4, ids});
  }
  const Tensor shared = model.network->forward(images, 501, both);
  both.projections = std::make_shared<ContextProjections>();
  EXPECT_TRUE(same_bits(shared, model.network->forward(images, 501, both))) << "kept";
  const auto kept = both.projections->of_layer;
  ASSERT_FALSE(kept.empty());
  EXPECT_TRUE(same_bits(shared, model.network->forward(images, 501, both))) << "used again";
  for (const auto& [layer, made] : both.projections->of_layer)
    EXPECT_EQ(made.keys.bytes(), kept.at(layer).keys.bytes()) << "made once";
  EXPECT_TRUE(same_bits(shared, model.network->forward(ops::repeat_first(images, 4), 501, both)));
  StepReuse reuse;
  EXPECT_TRUE(same_bits(shared, model.network->forward_reusing(images, 501, both, reuse)));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Batch,
                         ::testing::Values("four-level", "odd-channels", "shallow", "sd2-zero-snr",
                                           "sdxl"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(BatchOfThree, EverySamplerDrawsEachPictureAsAlone) {
  const DiffusionModel model = load("four-level");
  TextToImageRequest request{
      .prompt = "red apple", .width_px = 32, .height_px = 40, .steps = 4, .seed = UINT64_MAX};
  size_t schedulers = 0;
  for (const std::string& name : sampler_names()) {
    request.sampler = name;
    request.steps = name == "restart" ? 20 : 4;  // enough to restart
    expect_drawn_as_alone(model, request, name);
  }
  request.steps = 4;
  request.sampler = "dpmpp_2m_sde";
  for (const std::string& name : scheduler_names()) {
    request.scheduler = name;
    try {
      resolve_settings(model, request);
    } catch (const Error&) {
      continue;  // a spacing that this sampler lacks
    }
    ++schedulers;
    expect_drawn_as_alone(model, request, name);
  }
  EXPECT_GT(schedulers, 3u);
}

TEST(BatchOfThree, ARefinerTakesOverTheWholeBatch) {
  const DiffusionModel base = load("sdxl"), refiner = load("sdxl-refiner");
  TextToImageRequest request{
      .prompt = "red apple", .steps = 5, .refiner_start = 0.5, .sampler = "euler_a", .seed = 3};
  expect_drawn_as_alone(base, request, "refined", &refiner);
}

TEST(BatchOfThree, ItsMemoryIsPredicted) {
  const MetaModel meta =
      load_meta_model(CheckpointLayout::read(fixtures() / "models" / "four-level"));
  const auto activations = [&](int batch) {
    return predict_memory(meta.model, {.width_px = 512, .height_px = 512, .batch = batch})
        .denoise_bytes;
  };
  EXPECT_GT(activations(64), 32 * activations(1));
  EXPECT_LT(activations(64), 66 * activations(1));
}

}  // namespace
}  // namespace tintype::testing
