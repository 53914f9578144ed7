// Whole pictures against the reference pipeline's: each case of tests/fixtures/pipelines, drawn
// with the same seed, may differ by half a level of 255 on average.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "backend/registry.h"
#include "base/json.h"
#include "models/fixture_files.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/noise.h"
#include "pipelines/picture_difference.h"
#include "pipelines/prompt_encoding.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

class Pictures : public ::testing::TestWithParam<std::string> {
 protected:
  static DiffusionModel load(const std::string& path, const LoadOptions& options = {}) {
    return DiffusionModel::load(
        CheckpointLayout::read(std::filesystem::path(TT_SOURCE_DIR) / path, options), Device::kCpu,
        RunContext());
  }
};

/// What goes with a single file: the keys beside "model" in pictures.json.
LoadOptions load_options_of(const JsonObject& index) {
  const std::filesystem::path root(TT_SOURCE_DIR);
  LoadOptions options;
  if (index.has("tokenizer")) options.tokenizers = {root / index.text("tokenizer")};
  if (index.has("vae")) options.vae = root / index.text("vae");
  options.prediction_type = index.text("prediction", "");
  return options;
}

/// [height, width] under `key`, where the case has it.
void read_pair(const JsonObject& c, const char* key, auto store) {
  if (!c.has(key)) return;
  const std::vector<int64_t> pair = c.integers(key, 0, 4096);
  store(static_cast<int>(pair.at(0)), static_cast<int>(pair.at(1)));
}

SizeConditioning size_conditioning_of(const JsonObject& c) {
  SizeConditioning size;
  read_pair(c, "original_size", [&](int height, int width) {
    size.original_height_px = height;
    size.original_width_px = width;
  });
  read_pair(c, "target_size", [&](int height, int width) {
    size.target_height_px = height;
    size.target_width_px = width;
  });
  read_pair(c, "crops_coords_top_left", [&](int top, int left) {
    size.crop_top_px = top;
    size.crop_left_px = left;
  });
  return size;
}

TextToImageRequest request_of(const JsonObject& c) {
  return {.prompt = c.text("prompt"),
          .negative_prompt =
              c.has("negative_prompt") ? std::optional(c.text("negative_prompt")) : std::nullopt,
          .prompt_2 = c.has("prompt_2") ? c.text("prompt_2") : "",
          .negative_prompt_2 = c.has("negative_prompt_2") ? c.text("negative_prompt_2") : "",
          .width_px = static_cast<int>(c.integer("width", 1, 4096)),
          .height_px = static_cast<int>(c.integer("height", 1, 4096)),
          .steps = static_cast<int>(c.integer("steps", 1, 1000)),
          .guidance_scale = static_cast<float>(c.number("guidance", -100, 100)),
          .guidance_rescale = static_cast<float>(c.number("guidance_rescale", 0, 1, 0)),
          .clip_skip = static_cast<int>(c.integer("clip_skip", 0, 100, 0)),
          .size_conditioning = size_conditioning_of(c),
          .refiner_start = c.number("refiner_start", 0, 1, 0.8),
          .sampler = c.text("sampler"),
          .scheduler = c.text("scheduler"),
          .seed = c.json()["seed"].get<uint64_t>(),
          .rng = "torch"};
}

TextToImageResult draw(const DiffusionModel& model, const TextToImageRequest& request,
                       const DiffusionModel* refiner = nullptr) {
  return std::move(
      text_to_images(model, resolve_settings(model, request, refiner), RunContext(), refiner)
          .front());
}

TEST_P(Pictures, MatchTheReferencePipeline) {
  const auto folder = fixtures() / "pipelines" / GetParam();
  const Json index = read_json_file(folder / "pictures.json");
  const Dump pictures(folder / "pictures.safetensors");
  const DiffusionModel model =
      load(index["model"].get<std::string>(), load_options_of(JsonObject(index, "pictures.json")));
  ASSERT_FALSE(index["pictures"].empty());
  for (const Json& entry : index["pictures"]) {
    const JsonObject c(entry, "pictures.json");
    const std::string name = c.text("name");
    std::optional<DiffusionModel> refiner;
    if (c.has("refiner")) refiner.emplace(load(c.text("refiner")));
    TextToImageRequest request = request_of(c);
    if (index.contains("embeddings"))
      request.embeddings =
          std::filesystem::path(TT_SOURCE_DIR) / index["embeddings"].get<std::string>();
    const Image image = draw(model, request, refiner ? &*refiner : nullptr).image;
    const Tensor expected = pictures.raw(name);
    ASSERT_EQ(static_cast<int64_t>(image.rgb.size()), expected.numel()) << name;
    const auto [mean, largest] = difference_of(image, expected);
    EXPECT_LE(mean, kMeanTolerance) << name << ", largest difference " << largest;
    RecordProperty(name, cat("mean ", mean, " max ", largest));
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& param) {
  std::string name = param.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Pictures, ::testing::ValuesIn(fixture_names("pipelines")),
                         test_name);

class Pipeline : public ::testing::TestWithParam<std::string> {
 protected:
  DiffusionModel model_ = DiffusionModel::load(
      CheckpointLayout::read(fixtures() / "models" / GetParam()), Device::kCpu, RunContext());
  const TextToImageRequest request_{
      .prompt = "red apple", .steps = 3, .guidance_scale = 4.0f, .seed = 11};
};

TEST_P(Pipeline, SameBitsOnASecondRunAndOnAnyNumberOfThreads) {
  const Backend& cpu = backend_for(Device::kCpu);
  cpu.use_threads(1);
  const Image one = draw(model_, request_).image;
  EXPECT_EQ(one.rgb, draw(model_, request_).image.rgb);
  for (const int threads : {2, 5}) {
    cpu.use_threads(threads);
    EXPECT_EQ(one.rgb, draw(model_, request_).image.rgb) << threads << " threads";
  }
}

TEST_P(Pipeline, CancelStopsWithinOneStep) {
  RunContext context;
  int steps = 0;
  context.on_progress = [&](const Progress& p) {
    if (p.stage == Stage::kDenoise && p.step == 2) context.cancel();
    if (p.stage == Stage::kDenoise) steps = p.step;
    EXPECT_NE(p.stage, Stage::kDecode);
  };
  try {
    text_to_images(model_, resolve_settings(model_, request_), context);
    ADD_FAILURE() << "drew a cancelled picture";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCancelled);
  }
  EXPECT_EQ(steps, 2);
}

TEST_P(Pipeline, DeadlineStopsTheRun) {
  RunContext context;
  context.deadline = RunContext::Clock::now();
  try {
    text_to_images(model_, resolve_settings(model_, request_), context);
    ADD_FAILURE() << "drew a picture past its deadline";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDeadlineExceeded);
  }
}

TEST_P(Pipeline, RefusesWrongRequestsBeforeAnyWork) {
  const auto expect_refused = [&](const char* field, auto change) {
    TextToImageRequest request = request_;
    change(request);
    try {
      resolve_settings(model_, request);
      ADD_FAILURE() << "accepted a wrong " << field;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument) << error.what();
      EXPECT_NE(std::string(error.what()).find(field), std::string::npos) << error.what();
    }
  };
  expect_refused("width", [](auto& r) { r.width_px = 101; });
  expect_refused("width", [](auto& r) { r.width_px = 0; });
  expect_refused("height", [](auto& r) { r.height_px = -8; });
  expect_refused("height", [](auto& r) { r.height_px = 1 << 30; });
  expect_refused("steps", [](auto& r) { r.steps = 0; });
  expect_refused("steps", [](auto& r) { r.steps = 1000000; });
  expect_refused("guidance", [](auto& r) { r.guidance_scale = std::nanf(""); });
  expect_refused("guidance", [](auto& r) { r.guidance_scale = INFINITY; });
  expect_refused("guidance_rescale", [](auto& r) { r.guidance_rescale = 1.5f; });
  expect_refused("clip_skip", [](auto& r) { r.clip_skip = -1; });
  expect_refused("clip_skip", [](auto& r) { r.clip_skip = 100; });
  expect_refused("original_width", [](auto& r) { r.size_conditioning.original_width_px = 0; });
  expect_refused("crop_top", [](auto& r) { r.size_conditioning.crop_top_px = -1; });
  expect_refused("aesthetic_score",
                 [](auto& r) { r.size_conditioning.aesthetic_score = INFINITY; });
  expect_refused("euler_a", [](auto& r) { r.sampler = "eular_a"; });
  expect_refused("scheduler", [](auto& r) { r.scheduler = "karas"; });
  expect_refused("batch_size", [](auto& r) { r.batch_size = 0; });
  expect_refused("batch_size", [](auto& r) { r.batch_size = 65; });
  expect_refused("rng", [](auto& r) { r.rng = "dice"; });
}

TEST_P(Pipeline, EmptyAndEndlessPromptsDraw) {
  TextToImageRequest request = request_;
  request.prompt = "";
  EXPECT_FALSE(draw(model_, request).settings.prompt_truncated);
  for (int i = 0; i < 2000; ++i) request.prompt += "apple ";
  EXPECT_TRUE(draw(model_, request).settings.prompt_truncated);
}

TEST_P(Pipeline, MemoryPredictionIsWhatTheAllocatorSees) {
  const MetaModel meta =
      load_meta_model(CheckpointLayout::read(fixtures() / "models" / GetParam()));
  const PictureSize size{.width_px = model_.default_width_px() * 4,
                         .height_px = model_.default_height_px() * 4};
  const MemoryPrediction small = predict_memory(meta.model, size);
  const MemoryPrediction large =
      predict_memory(meta.model, {.width_px = 2 * size.width_px, .height_px = 2 * size.height_px});
  EXPECT_GT(meta.weight_bytes, 0u);
  EXPECT_GT(small.denoise_bytes, 0u);
  EXPECT_GT(small.decode_bytes, 0u);
  EXPECT_GT(large.peak_bytes(), 3 * small.peak_bytes());
}

TEST_P(Pipeline, BandsFitALimitAndShowNoSeams) {
  const MetaModel meta =
      load_meta_model(CheckpointLayout::read(fixtures() / "models" / GetParam()));
  PictureSize size{.width_px = model_.default_width_px(),
                   .height_px = model_.default_height_px() * 4};
  const MemoryPrediction whole = predict_memory(meta.model, size);
  EXPECT_EQ(fitting_bands(meta.model, size, {1000, 1000}, 1000 + whole.peak_bytes()),
            PictureBands());
  EXPECT_THROW(fitting_bands(meta.model, size, {1000, 1000}, 1500), Error);
  if (whole.denoise_bytes >= whole.decode_bytes) return;  // bands would not help
  size.bands = fitting_bands(meta.model, size, {1000, 1000}, 1000 + whole.decode_bytes - 1);
  ASSERT_GT(size.bands.decode.rows, 0);
  EXPECT_EQ(size.bands.encode.rows, 0);
  EXPECT_LT(predict_memory(meta.model, size).decode_bytes, whole.decode_bytes);

  const auto& codec = model_.codec->traits();
  const Tensor latents = LatentNoise({.seed = 3})
                             .start(Shape{1, size.height_px / codec.factor,
                                          size.width_px / codec.factor, codec.latent_channels});
  const Tensor expected = decode_latents(model_, latents);
  for (const int64_t levels : {int64_t{0}, codec.levels - 1}) {
    const Tensor banded = decode_latents(model_, latents, {.whole_levels = levels, .rows = 9});
    ASSERT_EQ(banded.shape(), expected.shape());
    for (int64_t i = 0; i < expected.numel(); ++i)
      ASSERT_NEAR(banded.data<float>()[i], expected.data<float>()[i], 1e-4)
          << "element " << i << ", " << levels << " levels whole";
  }
}

TEST_P(Pipeline, PicturesAreEncodedInBandsWithoutSeams) {
  const MetaModel meta =
      load_meta_model(CheckpointLayout::read(fixtures() / "models" / GetParam()));
  PictureSize size{.width_px = model_.default_width_px(),
                   .height_px = model_.default_height_px() * 8,
                   .encodes = true};
  const MemoryPrediction whole = predict_memory(meta.model, size);
  if (whole.denoise_bytes < whole.encode_bytes) {
    size.bands = fitting_bands(meta.model, size, {1000, 1000}, 1000 + whole.encode_bytes - 1);
    ASSERT_GT(size.bands.encode.rows, 0);
    EXPECT_LT(predict_memory(meta.model, size).encode_bytes, whole.encode_bytes);
  }

  const Tensor picture = LatentNoise({.seed = 3}).start(Shape{1, size.height_px, size.width_px, 3});
  const Tensor expected = encode_picture(model_, picture);
  for (const int64_t levels : {int64_t{0}, model_.codec->traits().levels - 1}) {
    const Tensor banded = encode_picture(model_, picture, {.whole_levels = levels, .rows = 9});
    ASSERT_EQ(banded.shape(), expected.shape());
    for (int64_t i = 0; i < expected.numel(); ++i)
      ASSERT_NEAR(banded.data<float>()[i], expected.data<float>()[i], 1e-4)
          << "element " << i << ", " << levels << " levels whole";
  }
}

/// The fixture models that draw.
std::vector<std::string> drawing_models() {
  std::vector<std::string> names = fixture_names("models");
  std::erase(names, "inpainting");
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Pipeline, ::testing::ValuesIn(drawing_models()), test_name);

TEST(Checkpoint, InpaintingNetworkLoadsAndTextToImageSaysWhatItIs) {
  const auto layout = CheckpointLayout::read(fixtures() / "models" / "inpainting");
  const DiffusionModel model = DiffusionModel::load(layout, Device::kCpu, RunContext());
  const MetaModel meta = load_meta_model(layout);
  EXPECT_GT(predict_memory(meta.model, {.width_px = 64, .height_px = 64}).peak_bytes(), 0u);
  try {
    resolve_settings(model, {.prompt = "red apple"});
    ADD_FAILURE() << "accepted a network with nine inputs";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("inpainting"), std::string::npos) << error.what();
  }
}

TEST(Refiner, RefusesWhatItCannotTakeOver) {
  const auto load = [](const char* name) {
    return DiffusionModel::load(CheckpointLayout::read(fixtures() / "models" / name), Device::kCpu,
                                RunContext());
  };
  const DiffusionModel base = load("sdxl"), refiner = load("sdxl-refiner");
  const auto expect_refused = [&](const TextToImageRequest& request, const DiffusionModel& second,
                                  ErrorKind kind, const char* words) {
    try {
      resolve_settings(base, request, &second);
      ADD_FAILURE() << "accepted, expected: " << words;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  };
  const TextToImageRequest request{.prompt = "red apple"};
  EXPECT_EQ(resolve_settings(base, request, &refiner).refiner_sampler, "euler");
  // Its first step has no earlier answers to extrapolate from.
  expect_refused({.prompt = "a", .sampler = "dpmpp_2m"}, refiner, ErrorKind::kInvalidArgument,
                 "sampler of a refiner");
  expect_refused({.prompt = "a", .refiner_start = 1.0}, refiner, ErrorKind::kInvalidArgument,
                 "refiner_start");
  expect_refused({.prompt = "a", .refiner_start = 0.0}, refiner, ErrorKind::kInvalidArgument,
                 "refiner_start");
  expect_refused(request, load("one-level"), ErrorKind::kUnsupported, "latents");
  expect_refused(request, load("inpainting"), ErrorKind::kUnsupported, "inpainting");
}

TEST_P(Pipeline, PromptSyntaxChangesOnlyWhatIsWritten) {
  TextToImageRequest request = request_;
  const auto drawn = [&](const char* syntax, const char* prompt) {
    request.prompt_syntax = syntax;
    request.prompt = prompt;
    return draw(model_, request).image.rgb;
  };
  const auto plain = drawn("plain", "red apple");
  for (const char* syntax : {"a1111", "comfy"}) {
    EXPECT_EQ(drawn(syntax, "red apple"), plain) << syntax << " without any syntax is plain";
    EXPECT_NE(drawn(syntax, "red (apple:1.5)"), plain) << syntax;
  }
  EXPECT_EQ(drawn("a1111", "[red:red:0.5] apple"), plain);
  EXPECT_NE(drawn("a1111", "[red:green:0.5] apple"), plain);
  EXPECT_NE(drawn("a1111", "red BREAK apple"), plain);
}

TEST_P(Pipeline, ALongPromptKeepsItsEndInFurtherWindows) {
  std::string words;
  for (int i = 0; i < 120; ++i) words += "apple ";
  TextToImageRequest request = request_;
  request.prompt_syntax = "a1111";
  request.prompt = words + "red";
  const TextToImageResult red = draw(model_, request);
  EXPECT_FALSE(red.settings.prompt_truncated);
  request.prompt = words + "green";
  EXPECT_NE(draw(model_, request).image.rgb, red.image.rgb);
}

TEST_P(Pipeline, NoiseContractsAndVariations) {
  TextToImageRequest request = request_;
  const auto seed = draw(model_, request).image.rgb;
  request.variation_seed = 99;
  EXPECT_EQ(draw(model_, request).image.rgb, seed) << "no strength, no variation";
  request.variation_strength = 0.5f;
  EXPECT_NE(draw(model_, request).image.rgb, seed);
  request = request_;
  request.rng = "philox";
  EXPECT_NE(draw(model_, request).image.rgb, seed);
}

TEST_P(Pipeline, EverySamplerDraws) {
  TextToImageRequest request = request_;
  request.guidance_scale = 1.0f;
  for (const std::string& name : sampler_names()) {
    request.sampler = name;
    try {
      const TextToImageResult result = draw(model_, request);
      EXPECT_EQ(result.settings.sampler, name);
      EXPECT_EQ(draw(model_, request).image.rgb, result.image.rgb) << name;
    } catch (const Error& error) {
      // What the reference refuses too: a prediction type or a schedule that the rule lacks.
      EXPECT_TRUE(error.kind() == ErrorKind::kUnsupported ||
                  error.kind() == ErrorKind::kInvalidArgument)
          << name << ": " << error.what();
    }
  }
}

TEST(Checkpoint, AbsentNegativeIsZerosOnlyWhereTheCheckpointSaysSo) {
  for (const char* name : {"sdxl", "sdxl-distilled", "four-level"}) {
    const DiffusionModel model = DiffusionModel::load(
        CheckpointLayout::read(fixtures() / "models" / name), Device::kCpu, RunContext());
    const auto encoded = [&](std::optional<std::string> negative) {
      return encode_prompts(model, resolve_settings(
                                       model, {.prompt = "red apple", .negative_prompt = negative}))
          .variants.at(0);
    };
    const Conditioning absent = encoded(std::nullopt), empty = encoded("");
    double sum = 0, apart = 0;
    for (int64_t i = 0; i < absent.context.numel() / 2; ++i) {
      sum += std::fabs(absent.context.data<float>()[i]);
      apart += std::fabs(absent.context.data<float>()[i] - empty.context.data<float>()[i]);
    }
    const bool zeros = std::string(name) == "sdxl";
    EXPECT_EQ(sum == 0, zeros) << name;
    EXPECT_EQ(apart != 0, zeros) << name;
  }
}

TEST(Checkpoint, FaultyFoldersAreNamed) {
  const auto expect_refused = [](const std::filesystem::path& path, ErrorKind kind) {
    try {
      CheckpointLayout::read(path);
      ADD_FAILURE() << "accepted " << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
    }
  };
  expect_refused(fixtures() / "nowhere", ErrorKind::kNotFound);
  expect_refused(fixtures(), ErrorKind::kNotFound);  // a folder without model_index.json
  expect_refused(std::filesystem::path(TT_SOURCE_DIR) / "CMakeLists.txt", ErrorKind::kCorruptFile);
}

}  // namespace
}  // namespace tintype::testing
