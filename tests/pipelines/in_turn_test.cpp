// Parts loaded one after the other: the same pictures, less memory.
#include <gtest/gtest.h>

#include "base/expect_error.h"
#include "base/temporary_folder.h"
#include "models/fixture_files.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/request_adapters.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

CheckpointLayout layout_of(const char* name) {
  return CheckpointLayout::read(fixtures() / "models" / name);
}

std::vector<uint8_t> draw(const DiffusionModel& model, const TextToImageRequest& request,
                          const DiffusionModel* refiner = nullptr) {
  return text_to_images(model, resolve_settings(model, request, refiner), RunContext(), refiner)
      .front()
      .image.rgb;
}

TextToImageRequest request_of(const char* prompt) {
  return {.prompt = prompt, .steps = 2, .guidance_scale = 3.0f, .seed = 1};
}

TEST(InTurn, PicturesAreThoseOfAModelInMemory) {
  for (const char* name : {"four-level", "sdxl"}) {
    const CheckpointLayout layout = layout_of(name);
    const auto turns = std::make_shared<PartsInTurn>();
    const MetaModel meta = load_meta_model(layout);
    const DiffusionModel whole = DiffusionModel::load(layout, Device::kCpu, RunContext());
    const DiffusionModel parts =
        DiffusionModel::load_in_turn(layout, meta.model, Device::kCpu, turns);
    EXPECT_EQ(turns->changes(), 0u);
    const auto expected = draw(whole, request_of("a fox"));
    EXPECT_EQ(draw(parts, request_of("a fox")), expected) << name;
    EXPECT_EQ(turns->changes(), 2u) << "encoders to network to decoder, each once";
    EXPECT_EQ(draw(parts, request_of("a fox")), expected) << name;
    EXPECT_EQ(turns->changes(), 5u);
  }
}

// DoRA reads the weights themselves; the others change text encoders, linear layers and
// convolutions.
TEST(InTurn, AdaptersDrawTheSame) {
  for (const char* name : {"four-level", "sdxl"}) {
    const std::filesystem::path folder = fixtures() / "adapters" / name;
    const CheckpointLayout layout = layout_of(name);
    const MetaModel meta = load_meta_model(layout);
    const DiffusionModel whole = DiffusionModel::load(layout, Device::kCpu, RunContext());
    const DiffusionModel parts = DiffusionModel::load_in_turn(layout, meta.model, Device::kCpu,
                                                              std::make_shared<PartsInTurn>());
    const auto drawn = [&](const DiffusionModel& model, AdapterRegistry& registry,
                           const TextToImageRequest& request) {
      return text_to_images(model, resolve_settings(model, request), RunContext(), nullptr, {},
                            adapters_of(registry, request))
          .front()
          .image.rgb;
    };
    const auto of_whole = make_adapter_registry(whole, layout, 64 << 20);
    const auto of_parts = make_adapter_registry(parts, layout, 64 << 20);
    const auto plain = draw(whole, request_of("a fox"));
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      if (file.path().extension() != ".safetensors" || file.path().stem() == "pictures") continue;
      TextToImageRequest request = request_of("a fox");
      request.adapters = {{.file = file.path(), .weight = 0.8f}};
      const auto expected = drawn(whole, *of_whole, request);
      EXPECT_NE(expected, plain) << file.path();
      EXPECT_EQ(drawn(parts, *of_parts, request), expected) << file.path();
      EXPECT_EQ(draw(parts, request_of("a fox")), plain) << "after " << file.path();
      // Merged: into every load of a part.
      const MergedLayout merged =
          with_merged_adapters(layout, {.merged_adapters = request.adapters}, 64 << 20);
      EXPECT_EQ(
          draw(DiffusionModel::load_in_turn(merged.layout, load_meta_model(merged.shapes).model,
                                            Device::kCpu, std::make_shared<PartsInTurn>()),
               request_of("a fox")),
          draw(DiffusionModel::load(merged.layout, Device::kCpu, RunContext()),
               request_of("a fox")))
          << file.path();
    }
  }
}

TEST(InTurn, CachedPromptsLeaveTheEncodersOut) {
  const CheckpointLayout layout = layout_of("sdxl");
  const auto turns = std::make_shared<PartsInTurn>();
  DiffusionModel model =
      DiffusionModel::load_in_turn(layout, load_meta_model(layout).model, Device::kCpu, turns);
  model.caches = std::make_shared<ModelCaches>(1'000'000);
  const auto first = draw(model, request_of("a fox"));
  EXPECT_EQ(turns->changes(), 2u);
  EXPECT_EQ(draw(model, request_of("a fox")), first);
  EXPECT_EQ(turns->changes(), 4u) << "decoder to network to decoder";
}

TEST(InTurn, ARefinerTakesItsTurnToo) {
  const CheckpointLayout base = layout_of("sdxl"), refiner = layout_of("sdxl-refiner");
  const auto turns = std::make_shared<PartsInTurn>();
  const auto in_turn = [&](const CheckpointLayout& layout) {
    return DiffusionModel::load_in_turn(layout, load_meta_model(layout).model, Device::kCpu, turns);
  };
  const DiffusionModel first = in_turn(base), second = in_turn(refiner);
  const DiffusionModel whole_first = DiffusionModel::load(base, Device::kCpu, RunContext());
  const DiffusionModel whole_second = DiffusionModel::load(refiner, Device::kCpu, RunContext());
  TextToImageRequest request = request_of("a fox");
  request.steps = 4;
  request.refiner_start = 0.5;
  EXPECT_EQ(draw(first, request, &second), draw(whole_first, request, &whole_second));
}

TEST(InTurn, StagesMeetTheLargestPartAndNotAll) {
  const MetaModel meta = load_meta_model(layout_of("sdxl"));
  const StageWeights all = stage_weights(meta, false), parts = stage_weights(meta, true);
  EXPECT_EQ(all.denoise, meta.weight_bytes);
  EXPECT_EQ(all.decode, meta.weight_bytes);
  EXPECT_EQ(parts.denoise,
            std::max(meta.network.bytes, meta.text_towers[0].bytes + meta.text_towers[1].bytes));
  EXPECT_EQ(parts.decode, meta.codec.bytes);
}

TEST(InTurn, APackedModelTakesTurnsRatherThanDecodeInBands) {
  const std::filesystem::path folder =
      std::filesystem::path(TT_SOURCE_DIR) / "models" / "tintype-emoji-128";
  const TemporaryFolder scratch;
  const std::filesystem::path packed = scratch.path() / "demo.tintype";
  pack(folder, packed);
  const MetaModel meta = load_meta_model(CheckpointLayout::read(folder, {}));
  const MemoryPrediction beside = predict_memory(
      meta.model,
      {.width_px = meta.model.default_width_px(), .height_px = meta.model.default_height_px()});
  const Engine engine({.memory_limit_bytes = meta.weight_bytes + beside.decode_bytes - 1});
  EXPECT_EQ(engine.load(folder)->info().offload, "none");
  EXPECT_EQ(engine.load(packed)->info().offload, "sequential");
}

TEST(InTurn, TheEngineChoosesItWhereTheLimitLeavesNoOtherWay) {
  const auto path = fixtures() / "models" / "sdxl";
  const MetaModel meta = load_meta_model(layout_of("sdxl"));
  const MemoryPrediction beside = predict_memory(
      meta.model,
      {.width_px = meta.model.default_width_px(), .height_px = meta.model.default_height_px()});
  const StageWeights parts = stage_weights(meta, true);
  const uint64_t enough = meta.weight_bytes + beside.peak_bytes();
  const uint64_t least =
      std::max(parts.denoise + beside.denoise_bytes, parts.decode + beside.decode_bytes);
  ASSERT_LT(least, meta.weight_bytes + beside.denoise_bytes);
  const auto loaded = [&](uint64_t limit, const std::string& offload) {
    const Engine engine({.memory_limit_bytes = limit});
    const auto model = engine.load(path, {}, {.offload = offload});
    engine.text_to_image(*model, {.prompt = "a fox", .steps = 1, .seed = 1});
    return model->info().offload;
  };
  EXPECT_EQ(loaded(enough, ""), "none");
  EXPECT_EQ(loaded(least, ""), "sequential");
  EXPECT_EQ(loaded(enough, "sequential"), "sequential");
  EXPECT_EQ(loaded(0, ""), "none");
  expect_error(ErrorKind::kOutOfMemory, {}, [&] { loaded(least, "none"); });
  expect_error(ErrorKind::kOutOfMemory, {}, [&] { loaded(parts.denoise / 2, ""); });
  expect_error(ErrorKind::kInvalidArgument, {"offload", "sequential"}, [&] { loaded(0, "disk"); });
}

}  // namespace
}  // namespace tintype::testing
