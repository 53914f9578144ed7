// Previews: when they come, what they show, and that the picture does not notice.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdio>

#include "base/expect_error.h"
#include "models/fixture_files.h"
#include "ops/ops.h"
#include "pipelines/network_calls.h"
#include "pipelines/previewer.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

DiffusionModel load(const std::filesystem::path& path) {
  return DiffusionModel::load(CheckpointLayout::read(path), Device::kCpu, RunContext());
}
DiffusionModel fixture(const char* name) { return load(fixtures() / "models" / name); }

struct Drawn {
  std::vector<Preview> previews;
  Image image;
};

Drawn draw(const DiffusionModel& model, const TextToImageRequest& request, int every,
           int size_px = 0) {
  Drawn drawn;
  RunContext context;
  context.preview_every = every;
  context.preview_size_px = size_px;
  context.on_preview = [&](const Preview& preview) { drawn.previews.push_back(preview); };
  drawn.image = text_to_images(model, resolve_settings(model, request), context).front().image;
  return drawn;
}

TEST(Previews, ComeEveryNthStepForEachPicture) {
  const DiffusionModel model = fixture("four-level");
  const TextToImageRequest request{
      .prompt = "a fox", .steps = 7, .sampler = "ddim", .seed = 1, .batch_size = 2};
  const Drawn drawn = draw(model, request, 3);
  std::vector<std::pair<int, int>> seen;
  for (const Preview& preview : drawn.previews) {
    seen.emplace_back(preview.step, preview.picture);
    EXPECT_EQ(preview.steps, 7);
    EXPECT_EQ(preview.image.width_px,
              model.default_width_px() / static_cast<int>(model.codec->traits().factor));
    EXPECT_EQ(preview.image.rgb.size(), static_cast<size_t>(preview.image.width_px) * 3 *
                                            static_cast<size_t>(preview.image.height_px));
  }
  EXPECT_EQ(seen, (std::vector<std::pair<int, int>>{{3, 0}, {3, 1}, {6, 0}, {6, 1}}));
}

TEST(Previews, ThePictureIsTheOneWithoutThem) {
  for (const char* name : {"four-level", "sd2-zero-snr", "sdxl", "odd-channels"}) {
    const DiffusionModel model = fixture(name);
    const TextToImageRequest request{.prompt = "a fox", .steps = 3, .seed = 1};
    EXPECT_EQ(draw(model, request, 1).image.rgb, draw(model, request, 1000).image.rgb) << name;
  }
}

TEST(Previews, HaveTheSizeAskedForAndThePicturesProportions) {
  const DiffusionModel model = fixture("four-level");
  const int factor = static_cast<int>(model.codec->traits().factor);
  const TextToImageRequest request{
      .prompt = "", .width_px = 8 * factor, .height_px = 4 * factor, .steps = 1, .seed = 1};
  for (const int size : {1, 5, 40}) {
    const Drawn drawn = draw(model, request, 1, size);
    EXPECT_EQ(drawn.previews[0].image.width_px, size);
    EXPECT_EQ(drawn.previews[0].image.height_px, std::max(1, (size + 1) / 2));
  }
}

TEST(Previews, BadOptionsAreRefused) {
  const DiffusionModel model = fixture("four-level");
  const TextToImageRequest request{.prompt = "", .steps = 1, .seed = 1};
  expect_error(ErrorKind::kInvalidArgument, {"preview_every"}, [&] { draw(model, request, 0); });
  expect_error(ErrorKind::kInvalidArgument, {"preview_size_px"},
               [&] { draw(model, request, 1, 5000); });
}

// With x = sqrt(a) picture + sqrt(1 - a) noise, and what a perfect network would answer.
TEST(Previews, DenoisedLatentsFollowFromEveryKindOfPrediction) {
  for (const double alpha : {0.9, 0.5, 0.01}) {
    const double picture = 0.7, noise = -1.3, a = std::sqrt(alpha), b = std::sqrt(1 - alpha);
    const double x = a * picture + b * noise;
    const auto denoised = [&](PredictionType type, double prediction) {
      const DenoisedWeights weights = denoised_weights(type, alpha);
      return weights.input * x + weights.prediction * prediction;
    };
    EXPECT_NEAR(denoised(PredictionType::kEpsilon, noise), picture, 1e-5);
    EXPECT_NEAR(denoised(PredictionType::kVPrediction, a * noise - b * picture), picture, 1e-5);
    EXPECT_NEAR(denoised(PredictionType::kSample, picture), picture, 1e-5);
  }
  EXPECT_TRUE(std::isfinite(denoised_weights(PredictionType::kEpsilon, 0).prediction));
}

TEST(Previews, ResizingIsBilinearAndKeepsASizeOfItsOwn) {
  const std::vector<float> rgb = {-1, -1, -1, 1, 1, 1};  // black, white
  EXPECT_EQ(preview_image(rgb, 1, 2, 0).rgb, (std::vector<uint8_t>{0, 0, 0, 255, 255, 255}));
  const Image wide = preview_image(rgb, 1, 2, 4);
  EXPECT_EQ(wide.height_px, 2);
  // Centres at -0.25, 0.25, 0.75, 1.25 of the two pixels'.
  EXPECT_EQ(wide.rgb[3], 64);
  EXPECT_EQ(wide.rgb[6], 191);
  EXPECT_EQ(wide.rgb[9], 255);
  const std::vector<float> broken = {NAN, INFINITY, 2};
  EXPECT_EQ(preview_image(broken, 1, 1, 0).rgb, (std::vector<uint8_t>{128, 128, 255}));
}

double user_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec) * 1e-6;
}

// A step of SD 1.5 at this size takes seconds of user time; a preview may take 1 % of one.
TEST(Previews, CostMillisecondsAtThePictureSizeOfSd15) {
  const DiffusionModel model = fixture("four-level");
  constexpr int kPreviews = 20;
  int seen = 0;
  RunContext context;
  context.preview_size_px = 256;
  context.on_preview = [&](const Preview&) { ++seen; };
  Previewer previewer(model, context);
  const std::vector<float> values(64 * 64 * 4, 0.3f);
  Tensor x = ops::empty(Shape{1, 64, 64, 4}, DType::kF32, Device::kCpu);
  std::copy(values.begin(), values.end(), x.mutable_data<float>());
  const double before = user_seconds();
  for (int i = 0; i < kPreviews; ++i)
    previewer.show({.input = x, .prediction = x, .timestep = 500, .done = 1, .calls = 1});
  const double each = (user_seconds() - before) / kPreviews;
  EXPECT_EQ(seen, kPreviews);
  EXPECT_LT(each, 0.03);
  RecordProperty("milliseconds", std::to_string(each * 1e3));
  std::printf("a preview of 64 x 64 latents at 256 px: %.2f ms of user time\n", each * 1e3);
}

/// Mean distance of a preview from the picture averaged over its pixels, in 1/255.
double distance(const Image& preview, const Image& picture) {
  const int factor = picture.width_px / preview.width_px;
  double sum = 0;
  for (int y = 0; y < preview.height_px; ++y)
    for (int x = 0; x < preview.width_px; ++x)
      for (int k = 0; k < 3; ++k) {
        double mean = 0;
        for (int v = 0; v < factor; ++v)
          for (int u = 0; u < factor; ++u)
            mean += picture.rgb[static_cast<size_t>(
                ((y * factor + v) * picture.width_px + x * factor + u) * 3 + k)];
        mean /= factor * factor;
        sum +=
            std::fabs(mean - preview.rgb[static_cast<size_t>((y * preview.width_px + x) * 3 + k)]);
      }
  return sum / static_cast<double>(preview.rgb.size());
}

// The demo model's stored map must be worth storing: nearer than that of the space its scaling
// factor suggests, and than one fitted to random patches.
TEST(Previews, TheLastOneIsLikeThePicture) {
  DiffusionModel model =
      load(std::filesystem::path(TT_SOURCE_DIR) / "models" / "tintype-emoji-128");
  const TextToImageRequest request{.prompt = "red apple", .steps = 8, .seed = 7};
  const auto last = [&] {
    const Drawn drawn = draw(model, request, 1);
    return distance(drawn.previews.back().image, drawn.image);
  };
  ASSERT_TRUE(model.latent_rgb);
  const double stored = last();
  EXPECT_LT(stored, 40);
  model.latent_rgb = known_latent_rgb(model.codec->traits());
  EXPECT_LT(stored, last());
  model.latent_rgb.reset();
  const double fitted = last();
  EXPECT_LT(fitted, 70);
}

TEST(LatentRgb, AFittedMapFindsALinearDecoder) {
  /// Every pixel of a latent has its colour: red is channel 0, green half of channel 1, blue 0.25.
  class Linear final : public LatentCodec {
   public:
    const Traits& traits() const override { return traits_; }
    Tensor decode(const Tensor& z, const nn::Trace*) const override {
      const int64_t h = z.dim(1), w = z.dim(2);
      Tensor out = ops::empty(Shape{1, 2 * h, 2 * w, 3}, DType::kF32, Device::kCpu);
      float* at = out.mutable_data<float>();
      for (int64_t y = 0; y < 2 * h; ++y)
        for (int64_t x = 0; x < 2 * w; ++x) {
          const float* latent = z.data<float>() + (y / 2 * w + x / 2) * 3;
          *at++ = latent[0];
          *at++ = latent[1] * 0.5f;
          *at++ = 0.25f;
        }
      return out;
    }
    Tensor decode_in_bands(const Tensor& z, const CodecBands&) const override {
      return decode(z, nullptr);
    }
    Tensor encode_moments(const Tensor& x, const nn::Trace*) const override { return x; }
    Tensor encode_in_bands(const Tensor& x, const CodecBands&) const override { return x; }

   private:
    Traits traits_{.latent_channels = 3, .factor = 2, .scaling_factor = 0.5f};
  };
  const LatentRgb map = fit_latent_rgb(Linear(), Device::kCpu);
  ASSERT_EQ(map.factors.size(), 3u);
  EXPECT_NEAR(map.factors[0][0], 2, 1e-3);
  EXPECT_NEAR(map.factors[1][1], 1, 1e-3);
  EXPECT_NEAR(map.factors[2][0], 0, 1e-3);
  EXPECT_NEAR(map.bias[2], 0.25, 1e-3);
}

TEST(LatentRgb, IsReadAndWrittenAndKnown) {
  const Json json = parse_json(
      R"({"red": [1, 2], "green": [3, 4], "blue": [5, 6], "bias": [7, 8, 9]})", "map.json");
  const LatentRgb map = LatentRgb::from_json(JsonObject(json, "map.json"), 2);
  EXPECT_EQ(map.factors[1][2], 6);
  EXPECT_EQ(map.bias[0], 7);
  EXPECT_EQ(map.to_json(), json);
  expect_error(ErrorKind::kCorruptFile, {"map.json", "red", "4 numbers"},
               [&] { LatentRgb::from_json(JsonObject(json, "map.json"), 4); });
  EXPECT_TRUE(known_latent_rgb({.latent_channels = 4, .scaling_factor = 0.13025f}));
  EXPECT_FALSE(known_latent_rgb({.latent_channels = 4, .scaling_factor = 0.5f}));
  EXPECT_FALSE(known_latent_rgb({.latent_channels = 16, .scaling_factor = 0.18215f}));
}

}  // namespace
}  // namespace tintype::testing
