// Pictures with adapters against diffusers' and peft's, every spelling and kind: half a level of
// 255 on average. And what must hold of a model that they leave: the bits of a picture without
// them.
#include <gtest/gtest.h>

#include <unistd.h>

#include <fstream>
#include <optional>

#include "base/expect_error.h"
#include "base/json.h"
#include "base/temporary_folder.h"
#include "models/fixture_files.h"
#include "models/precision.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/packed_layout.h"
#include "pipelines/picture_difference.h"
#include "pipelines/request_adapters.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

constexpr size_t kBudget = 64 << 20;

/// A model with a registry of its own.
struct Adapted {
  CheckpointLayout layout;
  DiffusionModel model;
  std::shared_ptr<AdapterRegistry> registry;

  explicit Adapted(const std::filesystem::path& path, const std::string& profile = "",
                   size_t budget = kBudget)
      : Adapted(path, LoadOptions{.profile = profile}, budget) {}

  /// With options.merged_adapters in the weights.
  Adapted(const std::filesystem::path& path, const LoadOptions& options, size_t budget = kBudget)
      : layout(merged_layout(path, options, budget)),
        model(DiffusionModel::load(layout, Device::kCpu, RunContext())),
        registry(make_adapter_registry(model, layout, budget)) {}

  static CheckpointLayout merged_layout(const std::filesystem::path& path,
                                        const LoadOptions& options, size_t budget) {
    return with_merged_adapters(CheckpointLayout::read(path, options), options, budget).layout;
  }

  std::vector<Image> draw(TextToImageRequest request) const {
    request = with_tagged_adapters(std::move(request));
    const TextToImageSettings settings = resolve_settings(model, request);
    std::vector<Image> images;
    for (TextToImageResult& result : text_to_images(model, settings, RunContext(), nullptr, {},
                                                    picture_adapters_of(*registry, request)))
      images.push_back(std::move(result.image));
    return images;
  }
};

/// Mean difference of 255.
double mean_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.rgb.size(), b.rgb.size());
  double sum = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) sum += std::abs(a.rgb[i] - b.rgb[i]);
  return sum / static_cast<double>(a.rgb.size());
}

std::filesystem::path folder_of(const std::string& model) {
  return fixtures() / "adapters" / model;
}

TextToImageRequest request_of(const JsonObject& c, const std::filesystem::path& folder) {
  TextToImageRequest request{.prompt = c.text("prompt"),
                             .negative_prompt = c.text("negative_prompt"),
                             .width_px = static_cast<int>(c.integer("width", 1, 4096)),
                             .height_px = static_cast<int>(c.integer("height", 1, 4096)),
                             .steps = static_cast<int>(c.integer("steps", 1, 1000)),
                             .guidance_scale = static_cast<float>(c.number("guidance", -100, 100)),
                             .sampler = c.text("sampler"),
                             .seed = c.json()["seed"].get<uint64_t>()};
  request.adapter_folder = folder;
  for (const Json& use : c.json()["adapters"])
    request.adapters.push_back(
        {.name = use["name"].get<std::string>(), .weight = use["weight"].get<float>()});
  return request;
}

/// Of this process now; 0 where the system does not tell.
uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

class AdapterPictures : public ::testing::TestWithParam<std::string> {};

TEST_P(AdapterPictures, MatchTheReference) {
  const auto folder = folder_of(GetParam());
  const Json index = read_json_file(folder / "pictures.json");
  const Dump pictures(folder / "pictures.safetensors");
  const Adapted adapted(std::filesystem::path(TT_SOURCE_DIR) / index["model"].get<std::string>());
  const Tensor plain = pictures.raw("base");
  for (const Json& entry : index["pictures"]) {
    const JsonObject c(entry, "pictures.json");
    const Image image = adapted.draw(request_of(c, folder)).front();
    const double mean = difference_of(image, pictures.raw(c.text("name"))).mean;
    EXPECT_LE(mean, kMeanTolerance) << c.text("name");
    RecordProperty(c.text("name"), cat(mean));
    if (!entry["adapters"].empty()) {
      EXPECT_GT(difference_of(image, plain).mean, 3) << c.text("name") << " changes nothing";
    }
  }
}

TEST_P(AdapterPictures, MatchTheReferenceWhenMerged) {
  const auto folder = folder_of(GetParam());
  const Json index = read_json_file(folder / "pictures.json");
  const Dump pictures(folder / "pictures.safetensors");
  const auto path = std::filesystem::path(TT_SOURCE_DIR) / index["model"].get<std::string>();
  const Adapted beside(path);
  for (const Json& entry : index["pictures"]) {
    const JsonObject c(entry, "pictures.json");
    TextToImageRequest request = request_of(c, folder);
    const Image unmerged = beside.draw(request).front();
    const Adapted merged(path, LoadOptions{.merged_adapters = std::exchange(request.adapters, {}),
                                           .adapter_folder = folder});
    const Image image = merged.draw(request).front();
    const double mean = difference_of(image, pictures.raw(c.text("name"))).mean;
    EXPECT_LE(mean, kMeanTolerance / 10) << c.text("name");
    EXPECT_LE(mean_difference(image, unmerged), kMeanTolerance) << c.text("name");
    RecordProperty(c.text("name"), cat(mean));
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, AdapterPictures, ::testing::ValuesIn(fixture_names("adapters")),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

const TextToImageRequest kRequest{.prompt = "red apple",
                                  .width_px = 64,
                                  .height_px = 48,
                                  .steps = 3,
                                  .guidance_scale = 3.0f,
                                  .seed = 5,
                                  .adapter_folder = folder_of("four-level")};

TextToImageRequest with(std::vector<AdapterUse> adapters) {
  TextToImageRequest request = kRequest;
  request.adapters = std::move(adapters);
  return request;
}

class AdapterProfiles : public ::testing::TestWithParam<std::string> {};

TEST_P(AdapterProfiles, DetachingGivesBackTheBitsOfThePicture) {
  const Adapted adapted(fixtures() / "models" / "four-level", GetParam());
  const Image before = adapted.draw(kRequest).front();
  for (const char* name : {"kohya", "kohya-conv", "dora", "loha", "lokr", "locon"}) {
    const Image with_it = adapted.draw(with({{.name = name}})).front();
    EXPECT_NE(with_it.rgb, before.rgb) << name;
    EXPECT_EQ(adapted.draw(with({{.name = name}})).front().rgb, with_it.rgb) << name;
    EXPECT_EQ(adapted.draw(kRequest).front().rgb, before.rgb) << "after " << name;
    EXPECT_EQ(adapted.draw(with({{.name = name, .weight = 0}})).front().rgb, before.rgb) << name;
  }
}

TEST_P(AdapterProfiles, APictureIsTheSameAloneAndInABatch) {
  const Adapted adapted(fixtures() / "models" / "four-level", GetParam());
  TextToImageRequest request = with({{.name = "kohya"}, {.name = "dora", .weight = 0.4f}});
  request.batch_size = 2;
  const std::vector<Image> both = adapted.draw(request);
  request.batch_size = 1;
  EXPECT_EQ(adapted.draw(request).front().rgb, both[0].rgb);
  count_up(request, 1);
  EXPECT_EQ(adapted.draw(request).front().rgb, both[1].rgb);
}

// The bound is that of 8-bit rounding, which meets other numbers where adapters are in the weights.
TEST_P(AdapterProfiles, MergedAdaptersDrawAsThoseBesideTheWeights) {
  const auto path = fixtures() / "models" / "four-level";
  const Adapted beside(path, GetParam());
  const Image plain = beside.draw(kRequest).front();
  for (const char* name : {"kohya", "kohya-conv", "dora", "loha", "lokr", "locon"}) {
    const std::vector<AdapterUse> uses = {{.name = name, .weight = 0.7f, .text_weight = 0.9f}};
    const Image unmerged = beside.draw(with(uses)).front();
    const Adapted merged(path, LoadOptions{.profile = GetParam(),
                                           .merged_adapters = uses,
                                           .adapter_folder = folder_of("four-level")});
    const Image image = merged.draw(kRequest).front();
    const double far = mean_difference(unmerged, plain);
    const double near = mean_difference(image, unmerged);
    RecordProperty(name, cat(near, " of ", far));
    EXPECT_LT(near, GetParam() == "exact" ? kMeanTolerance : far / 2) << name << " of " << far;
    const std::string settings = settings_json(resolve_settings(merged.model, kRequest));
    EXPECT_NE(settings.find(cat("\"merged_adapters\":[{\"name\":\"", name)), std::string::npos)
        << settings;
  }
}

// DoRA among them, whose norms come out of the packed weights: the same bits where those are as
// stored.
TEST_P(AdapterProfiles, PackedModelsTakeThemToo) {
  const TemporaryFolder folder;
  for (const char* model : {"four-level", "sdxl"}) {
    const Adapted plain(fixtures() / "models" / model, GetParam());
    const auto file = folder.path() / cat(model, ".tintype");
    write_packed(plain.layout, file, RunContext());
    const Adapted packed(file, std::string());
    for (const auto& entry : std::filesystem::directory_iterator(folder_of(model))) {
      if (entry.path().extension() != ".safetensors" || entry.path().stem() == "pictures") continue;
      TextToImageRequest request = kRequest;
      request.adapters = {{.file = entry.path(), .weight = 0.8f}};
      const Image expected = plain.draw(request).front();
      const Image drawn = packed.draw(request).front();
      const bool same = GetParam() == "exact" || entry.path().stem() != "dora";
      if (same)
        EXPECT_EQ(drawn.rgb, expected.rgb) << entry.path();
      else
        EXPECT_LE(mean_difference(drawn, expected), 3) << entry.path();  // of 22 that it changes
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Profiles, AdapterProfiles, ::testing::ValuesIn(profile_names()),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

/// Adapters' first products round as their layers do. On average over kinds: a single picture moves
/// by what the layers round in it, with factors in floats 0.9 to 5.6 where this base moves by 2.1.
TEST(AdapterRequests, RoundedAdaptersMovePicturesLittleMoreThanRoundedWeightsDo) {
  const Adapted exact(fixtures() / "models" / "four-level", "exact"),
      balanced(fixtures() / "models" / "four-level", "balanced");
  const auto moved = [&](const TextToImageRequest& request) {
    const Image a = exact.draw(request).front(), b = balanced.draw(request).front();
    double sum = 0;
    for (size_t i = 0; i < a.rgb.size(); ++i) sum += std::abs(a.rgb[i] - b.rgb[i]);
    return sum / static_cast<double>(a.rgb.size());
  };
  const double plain = moved(kRequest);
  RecordProperty("base", cat(plain));
  double sum = 0;
  const auto kinds = {"kohya", "kohya-conv", "dora", "loha", "lokr", "locon"};
  for (const char* name : kinds) {
    const double adapted = moved(with({{.name = name}}));
    RecordProperty(name, cat(adapted));
    sum += adapted;
  }
  EXPECT_LE(sum / static_cast<double>(kinds.size()), 1.5 * plain);
}

TEST(AdapterRequests, ATagInThePromptIsTheSameAsAFlag) {
  const Adapted adapted(fixtures() / "models" / "four-level");
  TextToImageRequest tagged = kRequest;
  tagged.prompt = "red <lora:kohya:0.8>apple<lora:peft:0.5:0.25>";
  const Image by_flag = adapted
                            .draw(with({{.name = "kohya", .weight = 0.8f},
                                        {.name = "peft", .weight = 0.25f, .text_weight = 0.5f}}))
                            .front();
  EXPECT_EQ(adapted.draw(tagged).front().rgb, by_flag.rgb);
  const TextToImageRequest read = with_tagged_adapters(tagged);
  TextToImageSettings settings = resolve_settings(adapted.model, read);
  settings.adapters = adapter_settings(adapters_of(*adapted.registry, read));
  EXPECT_EQ(parameters_text(settings).substr(0, parameters_text(settings).find('\n')),
            "red apple <lora:kohya:0.8> <lora:peft:0.5:0.25>");
  EXPECT_NE(settings_json(settings).find("\"adapters\":[{\"name\":\"kohya\""), std::string::npos);
}

TEST(AdapterRequests, AMergedModelTakesFurtherAdaptersAndKeepsItsFile) {
  const auto path = fixtures() / "models" / "four-level";
  const Adapted plain(path);
  const Image before = plain.draw(kRequest).front();
  const Image both = plain.draw(with({{.name = "kohya"}, {.name = "locon"}})).front();
  const Adapted merged(
      path,
      LoadOptions{.merged_adapters = {{.file = folder_of("four-level") / "kohya.safetensors"}}});
  EXPECT_LE(mean_difference(merged.draw(with({{.name = "locon"}})).front(), both), kMeanTolerance);
  EXPECT_EQ(Adapted(path).draw(kRequest).front().rgb, before.rgb);
  // Weights that cancel out leave what rounding leaves of the base picture; 0 leaves its bits.
  const Adapted cancelled(
      path, LoadOptions{.merged_adapters = {{.name = "kohya"}, {.name = "kohya", .weight = -1}},
                        .adapter_folder = folder_of("four-level")});
  EXPECT_LE(mean_difference(cancelled.draw(kRequest).front(), before), kMeanTolerance);
  const Adapted nothing(path, LoadOptions{.merged_adapters = {{.name = "kohya", .weight = 0}},
                                          .adapter_folder = folder_of("four-level")});
  EXPECT_EQ(nothing.draw(kRequest).front().rgb, before.rgb);
}

TEST(AdapterRequests, PredictionsCountMergedWeights) {
  const auto path = fixtures() / "models" / "sdxl";  // f16
  const LoadOptions options{.merged_adapters = {{.name = "kohya"}},
                            .adapter_folder = folder_of("sdxl")};
  const CheckpointLayout plain = CheckpointLayout::read(path);
  const MergedLayout merged = with_merged_adapters(plain, options, kBudget);
  const uint64_t bytes = load_meta_model(merged.shapes).weight_bytes;
  EXPECT_EQ(bytes, load_meta_model(merged.layout).weight_bytes);
  EXPECT_GT(bytes, load_meta_model(plain).weight_bytes);
  const SourceSummary from = summarize(*plain.network.open());
  const SourceSummary to = summarize(*merged.layout.network.open());
  EXPECT_EQ(to.bytes, from.bytes);
  EXPECT_EQ(to.storage, from.storage);
  EXPECT_EQ(to.parameters, from.parameters);
}

TEST(AdapterRequests, WhatCannotBeMergedIsRefusedBeforeLoading) {
  const auto path = fixtures() / "models" / "four-level";
  const auto merge = [&](AdapterUse use) {
    Adapted::merged_layout(path, LoadOptions{.merged_adapters = {std::move(use)}}, kBudget);
  };
  expect_error(ErrorKind::kInvalidArgument, {"needs a folder"}, [&] { merge({.name = "kohya"}); });
  expect_error(ErrorKind::kNotFound, {"none.safetensors"},
               [&] { merge({.file = "none.safetensors"}); });
  const auto other = folder_of("sdxl") / "kohya.safetensors";
  ASSERT_TRUE(std::filesystem::exists(other));
  expect_error(ErrorKind::kUnsupported, {"layer for layer"}, [&] { merge({.file = other}); });
  const auto file = folder_of("four-level") / "kohya.safetensors";
  expect_error(ErrorKind::kOutOfMemory, {"when packed"}, [&] {
    Adapted::merged_layout(path, LoadOptions{.merged_adapters = {{.file = file}}}, 1000);
  });
}

// Each row of a batch with adapters of its own: what it would be alone.
TEST(AdapterRequests, RowsOfABatchMayDiffer) {
  for (const std::string& profile : profile_names()) {
    const Adapted adapted(fixtures() / "models" / "four-level", profile);
    const auto set_of = [&](std::vector<AdapterUse> uses) {
      return adapters_of(*adapted.registry, with(std::move(uses)));
    };
    const std::vector<AdapterSet> sets = {
        set_of({{.name = "kohya"}}), {}, set_of({{.name = "dora"}, {.name = "kohya-conv"}})};
    const int64_t rows = static_cast<int64_t>(sets.size());
    const auto& traits = adapted.model.network->traits();
    const auto random = [](const Shape& shape) {
      Tensor x = empty_host(shape);
      uint32_t state = 1;
      for (float& value : x.mutable_span<float>()) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
      }
      return x;
    };
    const Tensor x = random(Shape{rows, 8, 8, traits.in_channels});
    const Tensor context = random(Shape{rows, 7, traits.context_width});
    const Tensor together = adapted.model.network->forward(
        x, 500.0f, {.context = context, .adapters = adapter_view(sets, "unet")});
    for (int64_t i = 0; i < rows; ++i) {
      const Tensor alone = adapted.model.network->forward(
          x.slice(i, i + 1), 500.0f,
          {.context = context.slice(i, i + 1),
           .adapters = adapter_view(sets[static_cast<size_t>(i)], "unet")});
      const Tensor row = together.slice(i, i + 1);
      EXPECT_TRUE(std::equal(row.span<float>().begin(), row.span<float>().end(),
                             alone.span<float>().begin()))
          << profile << " row " << i;
    }
  }
}

// Pictures of a batch with adapters of their own (text encoders', linear, convolutions, DoRA,
// none), beside one that all have: what each draws alone. With and without guidance, with reused
// steps.
TEST(AdapterRequests, PicturesOfABatchMayDiffer) {
  for (const std::string& profile : profile_names())
    for (const char* name : {"four-level", "sdxl"}) {
      const Adapted adapted(fixtures() / "models" / name, profile);
      TextToImageRequest request = kRequest;
      request.adapter_folder = folder_of(name);
      request.batch_size = 3;
      request.adapters = {{.name = "kohya", .weight = 0.3f}};
      const std::string second = std::string(name) == "sdxl" ? "sgm" : "dora";
      request.picture_adapters = {
          {{.name = "kohya"}}, {}, {{.name = second, .weight = 0.8f}, {.name = "kohya"}}};
      if (profile == "balanced") request.guidance_interval = {.low = 1, .high = 8};
      const std::vector<Image> together = adapted.draw(request);
      for (size_t i = 0; i < together.size(); ++i) {
        TextToImageRequest alone = request;
        alone.batch_size = 1;
        alone.picture_adapters = {};
        for (const AdapterUse& use : request.picture_adapters[i]) alone.adapters.push_back(use);
        count_up(alone, i);
        EXPECT_EQ(adapted.draw(alone).front().rgb, together[i].rgb)
            << profile << " " << name << " picture " << i;
        alone.adapters.resize(1);
        if (!request.picture_adapters[i].empty()) {
          EXPECT_NE(adapted.draw(alone).front().rgb, together[i].rgb) << "changes nothing";
        }
      }
    }
}

TEST(AdapterRequests, SettingsNameThePicturesOwn) {
  const Adapted adapted(fixtures() / "models" / "four-level");
  TextToImageRequest request = kRequest;
  request.batch_size = 2;
  request.picture_adapters = {{{.name = "kohya"}}, {{.name = "peft", .weight = 0.5f}}};
  const auto results =
      text_to_images(adapted.model, resolve_settings(adapted.model, request), RunContext(), nullptr,
                     {}, picture_adapters_of(*adapted.registry, request));
  ASSERT_EQ(results.size(), 2u);
  ASSERT_EQ(results[0].settings.adapters.size(), 1u);
  EXPECT_EQ(results[0].settings.adapters[0].name, "kohya");
  EXPECT_EQ(results[1].settings.adapters[0].name, "peft");
  request.batch_size = 3;
  expect_error(ErrorKind::kInvalidArgument, {"picture_adapters", "3", "2"},
               [&] { picture_adapters_of(*adapted.registry, request); });
}

TEST(AdapterRequests, TenThousandSwitchesLeaveNothingBehind) {
  const Adapted adapted(fixtures() / "models" / "four-level");
  const char* names[] = {"kohya", "peft", "dora", "loha"};
  const auto switch_to = [&](int i) {
    const AdapterSet set = adapters_of(*adapted.registry, with({{.name = names[i % 4]}}));
    return adapter_view(set, "unet");
  };
  for (int i = 0; i < 200; ++i) switch_to(i);
  const uint64_t before = resident_bytes();
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(switch_to(i));
  EXPECT_LT(resident_bytes(), before + (uint64_t{2} << 20));
  const CacheCounters counters = adapted.registry->counters();
  EXPECT_EQ(counters.misses, 4u);
  EXPECT_EQ(counters.hits, 10'200u - 4);
  EXPECT_EQ(counters.evictions, 0u);
}

TEST(AdapterRequests, ASmallBudgetForgetsTheLeastRecentlyUsed) {
  const char* names[] = {"kohya", "peft", "processors"};
  const auto file_of = [](const char* name) {
    return folder_of("four-level") / cat(name, ".safetensors");
  };
  const Adapted large(fixtures() / "models" / "four-level");
  size_t all = 0, largest = 0;
  for (const char* name : names) {
    const size_t bytes = large.registry->get(file_of(name))->bytes();
    all += bytes;
    largest = std::max(largest, bytes);
  }
  // Room for any two of them.
  const Adapted adapted(fixtures() / "models" / "four-level", "", all - 1);
  const std::shared_ptr<const Adapter> held = adapted.registry->get(file_of("kohya"));
  adapted.registry->get(file_of("peft"));
  EXPECT_EQ(adapted.registry->get(file_of("kohya")), held);
  adapted.registry->get(file_of("processors"));  // peft goes: kohya was asked for since
  EXPECT_EQ(adapted.registry->counters().evictions, 1u);
  EXPECT_LT(adapted.registry->counters().bytes, all);
  EXPECT_EQ(adapted.registry->get(file_of("kohya")), held);
  EXPECT_EQ(adapted.registry->counters().misses, 3u);
  adapted.registry->get(file_of("peft"));
  EXPECT_EQ(adapted.registry->counters().misses, 4u);
  EXPECT_GT(held->part("unet")->layers.size(), 0u);  // a handle keeps its adapter
  // What exceeds the budget by itself is refused before it is packed.
  const Adapted tiny(fixtures() / "models" / "four-level", "", largest / 4);
  expect_error(ErrorKind::kOutOfMemory, {"when packed"},
               [&] { tiny.registry->get(file_of("kohya")); });
}

}  // namespace
}  // namespace tintype::testing
