// Presets: what they set and leave alone; docs/presets.md is written from the table.
#include "tintype/presets.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/expect_error.h"
#include "models/fixture_files.h"
#include "models/precision.h"
#include "pipelines/text_to_image.h"

namespace tintype::testing {
namespace {

TEST(Presets, FillInWhatIsLeftOpen) {
  TextToImageRequest request;
  LoadOptions load;
  const Preset preset = find_preset("low_memory");
  apply_preset(preset, request, load);
  EXPECT_EQ(request.steps, preset.steps);
  EXPECT_EQ(request.sampler, preset.sampler);
  EXPECT_EQ(request.scheduler, preset.scheduler);
  EXPECT_EQ(load.profile, "low-memory");
  EXPECT_EQ(load.offload, "sequential");
  EXPECT_FALSE(request.guidance_scale);
}

TEST(Presets, WhatIsGivenWins) {
  TextToImageRequest request{
      .size_scale = 2, .steps = 3, .guidance_scale = 9.0f, .sampler = "ddim"};
  LoadOptions load{.timestep_spacing = "leading", .profile = "exact", .offload = "none"};
  for (const char* name : {"ultra_fast", "low_memory", "turbo"}) {
    apply_preset(find_preset(name), request, load);
    EXPECT_EQ(request.steps, 3);
    EXPECT_EQ(request.guidance_scale, 9.0f);
    EXPECT_EQ(request.size_scale, 2);
    EXPECT_EQ(request.sampler, "ddim");
    EXPECT_EQ(request.scheduler, "") << "a scheduler that this sampler may lack";
    EXPECT_EQ(load.profile, "exact");
    EXPECT_EQ(load.offload, "none");
    EXPECT_EQ(load.timestep_spacing, "leading");
  }
}

TEST(Presets, AnUnknownOneIsRefusedWithTheNearest) {
  expect_error(ErrorKind::kInvalidArgument, {"preset", "ultra_fast", "did you mean quality"},
               [] { find_preset("qualty"); });
}

TEST(Presets, EveryOneDraws) {
  for (const Preset& preset : preset_table()) {
    TextToImageRequest request{.prompt = "a fox", .seed = 1};
    LoadOptions load;
    apply_preset(preset, request, load);
    load.offload.clear();  // the engine's part
    const DiffusionModel model =
        DiffusionModel::load(CheckpointLayout::read(fixtures() / "models" / "four-level", load),
                             Device::kCpu, RunContext());
    const TextToImageSettings settings = resolve_settings(model, request);
    EXPECT_EQ(settings.steps, preset.steps) << preset.name;
    EXPECT_EQ(settings.sampler, preset.sampler) << preset.name;
    const auto result = text_to_images(model, settings, RunContext()).front();
    EXPECT_EQ(result.image.width_px, settings.width_px) << preset.name;
  }
}

TEST(Presets, SizesAreScaledInMultiplesOfFourLatents) {
  const DiffusionModel model = DiffusionModel::load(
      CheckpointLayout::read(fixtures() / "models" / "four-level"), Device::kCpu, RunContext());
  const int multiple = 4 * static_cast<int>(model.codec->traits().factor);
  for (const double scale : {0.1, 0.75, 1.3, 2.0}) {
    const TextToImageSettings settings =
        resolve_settings(model, {.height_px = multiple, .size_scale = scale});
    EXPECT_EQ(settings.width_px % multiple, 0) << scale;
    EXPECT_EQ(settings.width_px,
              std::max(multiple,
                       static_cast<int>(model.default_width_px() * scale) / multiple * multiple));
    EXPECT_EQ(settings.height_px, multiple) << "given";
  }
  expect_error(ErrorKind::kInvalidArgument, {"size_scale"},
               [&] { resolve_settings(model, {.size_scale = 0}); });
}

std::string cell(const std::string& text) { return text.empty() ? "model's" : cat("`", text, "`"); }

std::string page() {
  std::string text =
      "# Presets\n\nWritten by `presets_test` from the program's own table (`TT_UPDATE_DOCS=1\n"
      "build/cpu/tests/pipelines/presets_test`).\n\n`--preset NAME` fills in what other flags "
      "leave "
      "open; a flag that is given wins. A sampler that is\ngiven keeps the preset's scheduler out, "
      "too. \"model's\" is the model's own setting. Size is times the\nmodel's own. In the "
      "library: "
      "`find_preset`, `apply_preset` (`tintype/presets.h`).\n\n"
      "| preset | steps | sampler | scheduler | guidance | size | profile | offload | timestep "
      "spacing |\n|---|---|---|---|---|---|---|---|---|\n";
  std::string purposes;
  for (const Preset& preset : preset_table()) {
    const auto number = [](double value) {
      std::string digits = std::to_string(value);
      digits.erase(digits.find_last_not_of('0') + 1);
      if (digits.back() == '.') digits.pop_back();
      return digits;
    };
    text += cat("| `", preset.name, "` | ", preset.steps ? cat(*preset.steps) : "model's", " | ",
                cell(preset.sampler), " | ", cell(preset.scheduler), " | ",
                preset.guidance_scale ? number(*preset.guidance_scale) : "model's", " | ",
                number(preset.size_scale), " | ", cell(preset.profile), " | ",
                preset.offload.empty() ? "as needed" : cell(preset.offload), " | ",
                cell(preset.timestep_spacing), " |\n");
    purposes += cat("- `", preset.name, "`: ", preset.purpose, ".\n");
  }
  return text + "\n" + purposes +
         "\nModels distilled to few steps need the settings they were distilled with: more "
         "guidance "
         "or other\nspacing spoils them. [profiles.md](profiles.md) says what the profiles change, "
         "[memory.md](memory.md)\nwhat offloading does.\n";
}

TEST(Presets, ThePageIsUpToDate) {
  const auto file = std::filesystem::path(TT_SOURCE_DIR) / "docs" / "presets.md";
  if (std::getenv("TT_UPDATE_DOCS")) std::ofstream(file) << page();
  std::ifstream in(file);
  const std::string stored((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_EQ(stored, page()) << "rewrite docs/presets.md with TT_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace tintype::testing
