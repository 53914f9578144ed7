// What the five hot paths take and copy: counted, and held to the tables of docs/hot-paths.md,
// which TT_UPDATE_DOCS=1 writes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "backend/registry.h"
#include "base/temporary_folder.h"
#include "ops/observer.h"
#include "ops/ops.h"
#include "pipelines/image_to_image.h"
#include "pipelines/key_list_file.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/prompt_encoding.h"
#include "pipelines/request_adapters.h"
#include "pipelines/request_counts.h"
#include "pipelines/stages.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 128;
constexpr int kSteps = 4;

fs::path source(const char* path) { return fs::path(TT_SOURCE_DIR) / path; }
fs::path document() { return source("docs/hot-paths.md"); }

TextToImageRequest drawing(int side = kSide) {
  return {.prompt = "red apple",
          .negative_prompt = "blurry",
          .width_px = side,
          .height_px = side,
          .steps = kSteps,
          .guidance_scale = 3.0f,
          .sampler = "ddim",
          .seed = 1};
}

/// The demo model with caches like an engine's, and an adapter in two files.
class Demo {
 public:
  explicit Demo(const std::string& profile)
      : layout_(CheckpointLayout::read(source("models/tintype-emoji-128"), {.profile = profile})),
        model_(DiffusionModel::load(layout_, Device::kCpu, RunContext())),
        registry_(make_adapter_registry(model_, layout_, 100'000'000)) {
    backend_for(Device::kCpu).use_threads(2);
    model_.caches = std::make_shared<ModelCaches>(64'000'000, 64'000'000);
    for (const char* name : {"one.safetensors", "other.safetensors"}) {
      files_.push_back(folder_.path() / name);
      fs::copy_file(source("models/adapters/line-drawing.safetensors"), files_.back());
    }
  }

  const DiffusionModel& model() const { return model_; }
  AdapterRegistry& registry() const { return *registry_; }

  TextToImageRequest adapted(size_t file) const {
    TextToImageRequest request = drawing();
    request.adapters.push_back({.file = files_[file]});
    return request;
  }
  ImageToImageRequest over_picture() const {
    ImageToImageRequest request{.drawing = drawing(), .strength = 0.5};
    request.image = std::make_shared<const Image>(
        Image{kSide, kSide, std::vector<uint8_t>(size_t{kSide} * kSide * 3, 90)});
    return request;
  }

  /// From the request's arrival to its pictures, as the engine does it.
  void draw(const TextToImageRequest& given, const RunContext& context = {}) const {
    const TextToImageRequest request = with_tagged_adapters(given);
    const TextToImageSettings settings = resolve_settings(model_, request);
    const AdapterSet adapters = adapters_of(*registry_, request);
    text_to_images(model_, settings, context, nullptr, {}, adapters);
  }
  void draw(const ImageToImageRequest& request) const {
    image_to_images(model_, resolve_settings(model_, request), request.image, RunContext());
  }

 private:
  CheckpointLayout layout_;
  DiffusionModel model_;
  std::shared_ptr<AdapterRegistry> registry_;
  TemporaryFolder folder_;
  std::vector<fs::path> files_;
};

/// A request cut at its reports.
struct Pieces {
  Counts start;               ///< from its arrival to the first network call
  std::vector<Counts> steps;  ///< the network's calls, each with the sampler's part
};

/// Draws twice: being told of ops takes memory itself.
Pieces pieces_of(const Demo& demo, const TextToImageRequest& request) {
  Pieces pieces;
  pieces.steps.reserve(kSteps);
  Counts mark = counts_now();
  RunContext context;
  context.on_progress = [&](const Progress& progress) {
    if (progress.stage != Stage::kDenoise) return;
    const Counts piece = counts_now() - mark;
    if (progress.step == 0)
      pieces.start = piece;
    else
      pieces.steps.push_back(piece);
    mark = counts_now();
  };
  demo.draw(request, context);

  Joins joins;
  int64_t before = 0;
  context.on_progress = [&](const Progress& progress) {
    if (progress.stage != Stage::kDenoise) return;
    const int64_t joined = joins.bytes() - before;
    if (progress.step == 0)
      pieces.start.joined_bytes = joined;
    else
      pieces.steps[static_cast<size_t>(progress.step) - 1].joined_bytes = joined;
    before = joins.bytes();
  };
  const ops::ObserveOps watch(joins);
  demo.draw(request, context);
  return pieces;
}

CountedRow row(const std::string& name, const Counts& c) {
  return {
      name,
      {c.tensors, c.tensor_bytes, c.from_system, c.heap_blocks, c.heap_bytes, c.copied_bytes()}};
}

/// Every piece of the document's table for one profile, when what is made once is there.
std::vector<CountedRow> demo_rows(const std::string& profile) {
  const Demo demo(profile);
  const DiffusionModel& model = demo.model();
  const ImageToImageRequest over = demo.over_picture();
  demo.draw(demo.adapted(0));
  demo.draw(demo.adapted(1));
  demo.draw(over);
  demo.draw(drawing());
  std::vector<CountedRow> rows{row("text to image, 4 steps", count([&] { demo.draw(drawing()); }))};
  const Pieces plain = pieces_of(demo, drawing());
  demo.draw(demo.adapted(1));
  const Pieces adapted = pieces_of(demo, demo.adapted(0));
  const Counts step = plain.steps.back();
  rows.push_back(row("one of its steps", step));
  rows.push_back(row("another adapter is chosen", adapted.start - plain.start));
  rows.push_back(row("an adapter adds to a step", adapted.steps.back() - step));

  const auto& codec = model.codec->traits();
  const Shape shape{1, kSide / codec.factor, kSide / codec.factor, codec.latent_channels};
  const std::vector<float> halves(static_cast<size_t>(shape.numel()), 0.5f);
  const Tensor latents = host_tensor(shape, std::span<const float>(halves));
  const auto decode = [&] { to_image(decode_latents(model, latents)); };
  decode();
  rows.push_back(row("VAE decode", count(decode)));

  const TextToImageSettings settings = resolve_settings(model, drawing());
  const auto known = [&] { encode_prompts(model, settings); };
  const auto encode = [&] {
    model.caches->prompts.clear();
    known();
  };
  encode();
  rows.push_back(row("two prompts embedded", count(encode)));
  rows.push_back(row("two prompts that are kept", count(known)));

  const auto same_picture = [&] { demo.draw(over); };
  const auto new_picture = [&] {
    model.caches->encodings.clear();
    demo.draw(over);
  };
  new_picture();
  rows.push_back(row("image to image, 2 steps", count(new_picture)));
  rows.push_back(row("the same picture again", count(same_picture)));
  return rows;
}

/// At most a quarter above the document's figure, and not so far below it that it says nothing.
/// Heaps differ a little with the standard library, tensors with the processor's instructions.
void expect_near(int64_t counted, int64_t written, const std::string& what) {
  EXPECT_LE(counted, written + written / 4) << what << ": more than docs/hot-paths.md says";
  EXPECT_GE(counted, written / 2) << what
                                  << ": docs/hot-paths.md is old, TT_UPDATE_DOCS=1 writes it";
}

class HotPaths : public ::testing::TestWithParam<const char*> {};

TEST_P(HotPaths, TakeAndCopyWhatTheDocumentSays) {
  const std::string table = cat("demo ", GetParam());
  const std::vector<CountedRow> counted = demo_rows(GetParam());
  if (std::getenv("TT_UPDATE_DOCS")) write_counted_rows(document(), table, counted);
  const std::vector<CountedRow> written = read_counted_rows(document(), table);
  ASSERT_EQ(counted.size(), written.size());
  for (size_t i = 0; i < counted.size(); ++i) {
    ASSERT_EQ(counted[i].name, written[i].name);
    ASSERT_EQ(counted[i].numbers.size(), written[i].numbers.size());
    for (size_t n = 0; n < counted[i].numbers.size(); ++n) {
      const std::string what = cat(table, ", ", counted[i].name, ", column ", n + 2);
      if (n + 1 == counted[i].numbers.size())
        EXPECT_EQ(counted[i].numbers[n], written[i].numbers[n]) << what << ": bytes copied";
      else
        expect_near(counted[i].numbers[n], written[i].numbers[n], what);
    }
  }
}

TEST_P(HotPaths, StepsAfterTheFirstAskTheSystemForNothing) {
  const Demo demo(GetParam());
  for (const TextToImageRequest& request : {drawing(), demo.adapted(0)}) {
    demo.draw(request);
    const Pieces pieces = pieces_of(demo, request);
    ASSERT_EQ(pieces.steps.size(), static_cast<size_t>(kSteps));
    for (size_t i = 1; i < pieces.steps.size(); ++i) {
      EXPECT_EQ(pieces.steps[i].from_system, 0) << i;
      EXPECT_EQ(pieces.steps[i].tensors, pieces.steps[1].tensors) << i;
      EXPECT_EQ(pieces.steps[i].tensor_bytes, pieces.steps[1].tensor_bytes) << i;
    }
    EXPECT_GT(pieces.steps[0].tensors, pieces.steps[1].tensors)
        << "the count sees the text's keys and values, which the first step makes";
  }
}

// The heap serves bookkeeping and the kernels' scratch, never a picture.
TEST_P(HotPaths, AStepsHeapHardlyGrowsWithThePicture) {
  const Demo demo(GetParam());
  std::map<int, Counts> steps;
  for (const int side : {kSide, 2 * kSide}) {
    demo.draw(drawing(side));
    steps[side] = pieces_of(demo, drawing(side)).steps.back();
  }
  const Counts &small = steps[kSide], &large = steps[2 * kSide];
  EXPECT_GT(large.tensor_bytes, 3 * small.tensor_bytes);
  EXPECT_LT(large.heap_bytes, 2 * small.heap_bytes);
  EXPECT_LT(large.heap_blocks, small.heap_blocks + small.heap_blocks / 4);
  EXPECT_EQ(large.host_bytes, small.host_bytes);
}

TEST_P(HotPaths, WeightsAreNeverPackedReadOrCopiedByARequest) {
  const Demo demo(GetParam());
  const Counts before_reading = counts_now();
  demo.draw(demo.adapted(0));
  demo.draw(demo.adapted(1));
  EXPECT_GT((counts_now() - before_reading).weight_blocks, 0) << "the count sees adapters packed";
  const CacheCounters resident = demo.registry().counters();
  const auto adapter_bytes = static_cast<int64_t>(resident.bytes / resident.entries);
  demo.draw(drawing());
  const Counts plain = pieces_of(demo, drawing()).start, before = counts_now();
  for (size_t i = 0; i < 6; ++i) {
    const Counts change = pieces_of(demo, demo.adapted(i % 2)).start - plain;
    EXPECT_EQ(change.tensors, 0);
    EXPECT_EQ(change.copied_bytes(), 0);
    EXPECT_LT(change.heap_bytes, adapter_bytes / 40);
  }
  EXPECT_EQ((counts_now() - before).weight_blocks, 0);
  EXPECT_EQ(demo.registry().counters().misses, resident.misses);
}

INSTANTIATE_TEST_SUITE_P(Profiles, HotPaths, ::testing::Values("exact", "balanced"),
                         [](const auto& profile) { return std::string(profile.param); });

/// Every op's part in a pass, and what is joined of it.
class Totals final : public ops::OpObserver {
 public:
  size_t begin(ops::OpCall call) override {
    ++ops;
    operations += call.operations;
    moved_bytes += static_cast<int64_t>(call.bytes);
    if (call.op == "concat") joined_bytes += static_cast<int64_t>(call.bytes / 2);
    return 0;
  }
  void end(size_t, double) noexcept override {}
  int64_t ops = 0, operations = 0, moved_bytes = 0, joined_bytes = 0;
};

// Of Stable Diffusion 1.5's size the code runs on shapes alone: its names and shapes are the
// fixture, no weights are needed.
std::vector<CountedRow> full_size_rows(const std::string& profile) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "sd15.safetensors";
  write_key_list_file(file, read_key_list("sd15.original"));
  const MetaModel meta = load_meta_model(CheckpointLayout::read(file, {.profile = profile}));
  const DiffusionModel& model = meta.model;
  TextToImageSettings settings =
      resolve_settings(model, {.prompt = "a fox", .negative_prompt = "mist", .seed = 1});
  const auto on_meta = [](const Shape& shape) {
    return ops::empty(shape, DType::kF32, Device::kMeta);
  };
  const Tensor latents = on_meta({1, 64, 64, 4}), picture = on_meta({1, 512, 512, 3});
  Conditioning conditioning = encode_prompts(model, settings).variants.front();
  conditioning.projections = std::make_shared<ContextProjections>();
  const auto step = [&] { predict(model, latents, 501.0f, conditioning, {.scale = 7.5f}); };
  step();  // makes the text's keys and values

  std::vector<CountedRow> rows;
  const auto add = [&](const char* name, const std::function<void()>& run) {
    const Allocator& allocator = backend_for(Device::kMeta).allocator();
    const uint64_t before = allocator.stats().given_bytes;
    Totals totals;
    {
      const ops::ObserveOps watch(totals);
      run();
    }
    const auto given = static_cast<int64_t>(allocator.stats().given_bytes - before);
    rows.push_back({name,
                    {totals.ops, totals.operations / 1'000'000, totals.moved_bytes / 1000,
                     given / 1000, totals.joined_bytes / 1000}});
  };
  add("a step with guidance", step);
  add("VAE decode", [&] { decode_latents(model, latents); });
  add("two prompts embedded", [&] { encode_prompts(model, settings); });
  add("a picture encoded", [&] { model.codec->encode_moments(picture); });
  return rows;
}

TEST_P(HotPaths, OfFullSizeAreAsTheDocumentSays) {
  const std::string table = cat("full size ", GetParam());
  const std::vector<CountedRow> counted = full_size_rows(GetParam());
  if (std::getenv("TT_UPDATE_DOCS")) write_counted_rows(document(), table, counted);
  const std::vector<CountedRow> written = read_counted_rows(document(), table);
  ASSERT_EQ(counted.size(), written.size());
  for (size_t i = 0; i < counted.size(); ++i) {
    EXPECT_EQ(counted[i].name, written[i].name);
    EXPECT_EQ(counted[i].numbers, written[i].numbers) << table << ", " << counted[i].name;
  }
}

}  // namespace
}  // namespace tintype::testing
