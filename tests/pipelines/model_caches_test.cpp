// Encoded prompts and pictures are kept: what a second request encodes, and what makes it encode
// again.
#include <gtest/gtest.h>

#include "models/fixture_files.h"
#include "pipelines/image_to_image.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

/// Counts the calls to the encoder that it stands for.
class CountingEncoder final : public TextEncoder {
 public:
  CountingEncoder(std::unique_ptr<TextEncoder> encoder, int& calls)
      : encoder_(std::move(encoder)), calls_(calls) {}
  const std::vector<WeightSlot>& slots() const override { return encoder_->slots(); }
  const Traits& traits() const override { return encoder_->traits(); }
  TextFeatures encode(const Tensor& ids, const TextOptions& options,
                      const nn::Trace* trace) const override {
    ++calls_;
    return encoder_->encode(ids, options, trace);
  }

 private:
  std::unique_ptr<TextEncoder> encoder_;
  int& calls_;
};

struct Counted {
  int calls = 0;
  DiffusionModel model;

  Counted(const char* name, std::shared_ptr<ModelCaches> caches)
      : model(DiffusionModel::load(CheckpointLayout::read(fixtures() / "models" / name),
                                   Device::kCpu, RunContext())) {
    model.caches = std::move(caches);
    for (DiffusionModel::TextTower& tower : model.text_towers)
      tower.encoder = std::make_unique<CountingEncoder>(std::move(tower.encoder), calls);
  }

  /// Calls of this request.
  int draw(const TextToImageRequest& request, std::vector<uint8_t>* rgb = nullptr) {
    calls = 0;
    auto results = text_to_images(model, resolve_settings(model, request), RunContext());
    if (rgb) *rgb = std::move(results.front().image.rgb);
    return calls;
  }
};

std::shared_ptr<ModelCaches> caches(uint64_t bytes = 10'000'000) {
  return std::make_shared<ModelCaches>(bytes);
}

TextToImageRequest request_of(const std::string& prompt) {
  return {
      .prompt = prompt, .negative_prompt = "mist", .steps = 1, .guidance_scale = 3.0f, .seed = 1};
}

TEST(PromptCache, ASecondRequestWithTheSamePromptEncodesNothing) {
  for (const char* name : {"four-level", "sdxl"}) {
    Counted counted(name, caches());
    const int towers = static_cast<int>(counted.model.text_towers.size());
    std::vector<uint8_t> first, second;
    EXPECT_EQ(counted.draw(request_of("a fox"), &first), 2 * towers) << name;
    TextToImageRequest other = request_of("a fox");
    EXPECT_EQ(counted.draw(other, &second), 0) << name;
    EXPECT_EQ(second, first) << name;
    other.seed = 2;
    other.guidance_scale = 4;
    other.sampler = "euler";
    EXPECT_EQ(counted.draw(other), 0) << name;
    const CacheCounters counters = counted.model.caches->prompts.counters();
    EXPECT_EQ(counters.hits, static_cast<uint64_t>(4 * towers)) << name;
    EXPECT_EQ(counters.misses, static_cast<uint64_t>(2 * towers)) << name;
  }
}

TEST(PromptCache, AnotherPromptEncodesThatAlone) {
  Counted counted("four-level", caches());
  counted.draw(request_of("a fox"));
  EXPECT_EQ(counted.draw(request_of("a boat")), 1);
  EXPECT_EQ(counted.draw(request_of("mist")), 0) << "the negative prompt's text, as a positive one";
}

TEST(PromptCache, WhatChangesTheFeaturesEncodesAgain) {
  Counted counted("four-level", caches());
  TextToImageRequest request = request_of("a (red fox:1.3)");
  counted.draw(request);
  request.prompt_syntax = "a1111";
  EXPECT_GT(counted.draw(request), 0);
  request.prompt = "a (red fox:1.4)";
  EXPECT_GT(counted.draw(request), 0) << "weight";
  request.prompt_syntax = "comfy";
  EXPECT_GT(counted.draw(request), 0) << "rule of weights";
  request.prompt_syntax = "plain";
  counted.draw(request);
  request.clip_skip = 1;
  EXPECT_GT(counted.draw(request), 0) << "clip skip";
  request.prompt = "a brush";
  counted.draw(request);
  request.embeddings = fixtures() / "pipelines" / "four-level-embeddings" / "embeddings";
  EXPECT_GT(counted.draw(request), 0) << "embeddings";
  EXPECT_EQ(counted.draw(request), 0) << "embeddings";
}

TEST(PromptCache, PicturesAreThoseWithoutIt) {
  const auto shared = caches();
  for (const char* syntax : {"plain", "a1111", "comfy"}) {
    TextToImageRequest request = request_of("a (red:1.3) [fox:boat:0.5]");
    request.prompt_syntax = syntax;
    request.steps = 2;
    Counted cached("sdxl", shared), plain("sdxl", nullptr);
    std::vector<uint8_t> expected, first, second;
    plain.draw(request, &expected);
    cached.draw(request, &first);
    EXPECT_EQ(cached.draw(request, &second), 0);
    EXPECT_EQ(first, expected) << syntax;
    EXPECT_EQ(second, expected) << syntax;
  }
}

TEST(PromptCache, ModelsDoNotAnswerForEachOther) {
  const auto shared = caches();
  Counted one("four-level", shared), same("four-level", shared);
  one.draw(request_of("a fox"));
  EXPECT_EQ(same.draw(request_of("a fox")), 2) << "loaded again it may be another file";
}

TEST(PromptCache, ABudgetOfNothingKeepsNothing) {
  Counted counted("four-level", caches(0));
  counted.draw(request_of("a fox"));
  EXPECT_EQ(counted.draw(request_of("a fox")), 2);
  EXPECT_EQ(counted.model.caches->prompts.counters().bytes, 0u);
}

class CountingCodec final : public LatentCodec {
 public:
  CountingCodec(std::unique_ptr<LatentCodec> codec, int& encodings)
      : codec_(std::move(codec)), encodings_(encodings) {}
  const Traits& traits() const override { return codec_->traits(); }
  Tensor decode(const Tensor& latents, const nn::Trace* trace) const override {
    return codec_->decode(latents, trace);
  }
  Tensor decode_in_bands(const Tensor& latents, const CodecBands& bands) const override {
    return codec_->decode_in_bands(latents, bands);
  }
  Tensor encode_moments(const Tensor& picture, const nn::Trace* trace) const override {
    ++encodings_;
    return codec_->encode_moments(picture, trace);
  }
  Tensor encode_in_bands(const Tensor& picture, const CodecBands& bands) const override {
    return codec_->encode_in_bands(picture, bands);
  }

 private:
  std::unique_ptr<LatentCodec> codec_;
  int& encodings_;
};

TEST(EncodingCache, ASecondRequestWithTheSamePictureEncodesNothing) {
  Counted counted("four-level", std::make_shared<ModelCaches>(10'000'000, 10'000'000));
  int encodings = 0;
  DiffusionModel& model = counted.model;
  model.codec = std::make_unique<CountingCodec>(std::move(model.codec), encodings);
  const auto draw = [&](uint8_t level, uint64_t seed) {
    ImageToImageRequest request{.drawing = request_of("a fox"), .strength = 1.0};
    request.drawing.seed = seed;
    const int side = model.default_width_px();
    request.image = std::make_shared<const Image>(
        Image{side, side, std::vector<uint8_t>(static_cast<size_t>(3 * side * side), level)});
    encodings = 0;
    return image_to_images(model, resolve_settings(model, request), request.image, RunContext())
        .front()
        .image.rgb;
  };
  const auto first = draw(90, 1);
  EXPECT_EQ(encodings, 1);
  EXPECT_EQ(draw(90, 1), first);
  EXPECT_EQ(encodings, 0);
  EXPECT_NE(draw(90, 2), first) << "the posterior's sample is each request's own";
  EXPECT_EQ(encodings, 0);
  draw(91, 1);
  EXPECT_EQ(encodings, 1) << "another picture";
  model.caches = std::make_shared<ModelCaches>(10'000'000, 0);
  EXPECT_EQ(draw(90, 1), first) << "the same picture without the cache";
  EXPECT_EQ(encodings, 1);
}

}  // namespace
}  // namespace tintype::testing
