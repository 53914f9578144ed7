// Leaving work out: reused steps and the guidance interval.
#include <gtest/gtest.h>

#include <cmath>

#include "models/fixture_files.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/network_calls.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

DiffusionModel load(const std::string& name, const std::string& profile = "") {
  return DiffusionModel::load(
      CheckpointLayout::read(fixtures() / "models" / name, {.profile = profile}), Device::kCpu,
      RunContext());
}

std::vector<TextToImageResult> draw(const DiffusionModel& model, const TextToImageRequest& request,
                                    const DiffusionModel* refiner = nullptr) {
  return text_to_images(model, resolve_settings(model, request, refiner), RunContext(), refiner);
}

TextToImageRequest request_of(float threshold) {
  return {.prompt = "red apple",
          .steps = 8,
          .guidance_scale = 3.0f,
          .sampler = "ddim",
          .seed = 5,
          .reuse_threshold = threshold};
}

/// Random weights change slowly from step to step: this reuses some calls and not all.
constexpr float kSome = 0.5f;

TEST(StepReuse, ThresholdZeroIsBalancedBitForBit) {
  const DiffusionModel fast = load("four-level", "fast"), balanced = load("four-level", "balanced");
  EXPECT_GT(fast.default_reuse_threshold, 0);
  EXPECT_EQ(balanced.default_reuse_threshold, 0);
  TextToImageRequest plain = request_of(0);
  plain.reuse_threshold.reset();
  EXPECT_EQ(draw(fast, request_of(0))[0].image.rgb, draw(balanced, plain)[0].image.rgb);
}

TEST(StepReuse, AThresholdThatNothingMeetsChangesNoBit) {
  const DiffusionModel model = load("four-level");
  const auto whole = draw(model, request_of(0)), tiny = draw(model, request_of(1e-30f));
  EXPECT_EQ(tiny[0].settings.reused_calls, 0);
  EXPECT_EQ(tiny[0].image.rgb, whole[0].image.rgb);
}

TEST(StepReuse, CallsAreReusedAndCounted) {
  for (const char* name : {"four-level", "shallow", "sdxl", "odd-channels"}) {
    const DiffusionModel model = load(name);
    const auto first = draw(model, request_of(kSome)), again = draw(model, request_of(kSome));
    const TextToImageSettings& settings = first[0].settings;
    EXPECT_EQ(settings.network_calls, 8) << name;
    EXPECT_GT(settings.reused_calls, 0) << name;
    EXPECT_LT(settings.reused_calls, 8) << name;  // the first has nothing to reuse
    EXPECT_EQ(first[0].image.rgb, again[0].image.rgb) << name;
    EXPECT_EQ(settings.reused_calls, again[0].settings.reused_calls) << name;
    EXPECT_NE(settings_json(settings).find(cat("\"reused_calls\":", settings.reused_calls)),
              std::string::npos);
  }
}

// Every sampler: those that call the network twice a step, too.
TEST(StepReuse, EverySamplerTakesIt) {
  const DiffusionModel model = load("shallow");
  for (const char* sampler : {"euler", "heun", "dpm2", "dpmpp_2m", "dpmpp_2s_a", "pndm", "unipc"}) {
    TextToImageRequest request = request_of(kSome);
    request.sampler = sampler;
    const auto drawn = draw(model, request);
    EXPECT_GT(drawn[0].settings.reused_calls, 0) << sampler;
    EXPECT_LT(drawn[0].settings.reused_calls, drawn[0].settings.network_calls) << sampler;
  }
}

TEST(StepReuse, APictureOfABatchIsThePictureDrawnAlone) {
  const DiffusionModel model = load("four-level");
  TextToImageRequest request = request_of(kSome);
  request.batch_size = 3;
  const auto batch = draw(model, request);
  request.batch_size = 1;
  for (const TextToImageResult& picture : batch) {
    const auto alone = draw(model, request);
    EXPECT_EQ(picture.image.rgb, alone[0].image.rgb);
    EXPECT_EQ(settings_json(picture.settings), settings_json(alone[0].settings));
    count_up(request, 1);
  }
}

// A call under other words has nothing to reuse, and a refiner starts afresh: with a prompt that
// alternates each step no call is reused, whatever the threshold.
TEST(StepReuse, OtherWordsAreComputedWhole) {
  const DiffusionModel model = load("four-level");
  TextToImageRequest request = request_of(1.0f);
  request.prompt_syntax = "a1111";
  request.prompt = "[red|blue] apple";
  EXPECT_EQ(draw(model, request)[0].settings.reused_calls, 0);
  request.prompt = "[red:blue:4] apple";
  EXPECT_EQ(draw(model, request)[0].settings.reused_calls, 6);
}

TEST(StepReuse, ARefinerStartsAfresh) {
  const DiffusionModel model = load("sdxl");
  TextToImageRequest request = request_of(1.0f);
  request.refiner_start = 0.5;
  const TextToImageSettings settings = draw(model, request, &model)[0].settings;
  EXPECT_EQ(settings.network_calls, 8);
  EXPECT_EQ(settings.reused_calls, 6);
}

TEST(StepReuse, ThePredictionCountsWhatIsKept) {
  const MetaModel meta =
      load_meta_model(CheckpointLayout::read(fixtures() / "models" / "four-level"));
  PictureSize size{.width_px = 256, .height_px = 256};
  const uint64_t whole = predict_memory(meta.model, size).denoise_bytes;
  size.reuse_threshold = 0.2f;
  EXPECT_GT(predict_memory(meta.model, size).denoise_bytes, whole);
}

TEST(StepReuse, ImpossibleThresholdsAreRefused) {
  const DiffusionModel model = load("shallow");
  for (const float threshold : {-0.1f, 1.5f, std::nanf("")})
    EXPECT_THROW(resolve_settings(model, request_of(threshold)), Error) << threshold;
}

TEST(GuidanceInterval, EndsOfTheScaleAreEverywhereAndNowhere) {
  const DiffusionModel model = load("four-level");
  const auto guided = draw(model, request_of(0));
  TextToImageRequest request = request_of(0);
  request.guidance_interval = {.low = 0, .high = 1e6f};
  EXPECT_EQ(draw(model, request)[0].image.rgb, guided[0].image.rgb);
  EXPECT_EQ(draw(model, request)[0].settings.unguided_calls, 0);

  request.guidance_interval = {.low = 1e5f, .high = 1e6f};
  const auto nowhere = draw(model, request);
  EXPECT_EQ(nowhere[0].settings.unguided_calls, 8);
  TextToImageRequest unguided = request_of(0);
  unguided.guidance_scale = 1.0f;
  EXPECT_EQ(nowhere[0].image.rgb, draw(model, unguided)[0].image.rgb);
}

TEST(GuidanceInterval, CallsOutsideAreCountedAndBatchesAgree) {
  for (const char* name : {"four-level", "sdxl"}) {
    const DiffusionModel model = load(name);
    TextToImageRequest request = request_of(kSome);
    request.guidance_interval = {.low = 0.3f, .high = 5.0f};
    const auto alone = draw(model, request);
    EXPECT_GT(alone[0].settings.unguided_calls, 0) << name;
    EXPECT_LT(alone[0].settings.unguided_calls, 8) << name;
    request.batch_size = 2;
    EXPECT_EQ(draw(model, request)[0].image.rgb, alone[0].image.rgb) << name;
  }
}

TEST(GuidanceInterval, BackwardsAndNegativeOnesAreRefused) {
  const DiffusionModel model = load("shallow");
  TextToImageRequest request = request_of(0);
  for (const GuidanceInterval bad :
       {GuidanceInterval{.low = 2, .high = 1}, GuidanceInterval{.low = -1, .high = 1},
        GuidanceInterval{.low = std::nanf(""), .high = 1}}) {
    request.guidance_interval = bad;
    EXPECT_THROW(resolve_settings(model, request), Error);
  }
}

// By hand: signal 0.5 is sigma 1, signal 0.2 is sigma 2; between them the logarithm is linear.
TEST(SigmaAt, InterpolatesInTheLogarithm) {
  const std::vector<float> signal = {0.5f, 0.2f};
  EXPECT_NEAR(sigma_at(signal, 0), 1, 1e-6);
  EXPECT_NEAR(sigma_at(signal, 1), 2, 1e-6);
  EXPECT_NEAR(sigma_at(signal, 0.5f), std::sqrt(2.0), 1e-6);
  EXPECT_NEAR(sigma_at(signal, -1), 1, 1e-6);
  EXPECT_NEAR(sigma_at(signal, 7), 2, 1e-6);
}

}  // namespace
}  // namespace tintype::testing
