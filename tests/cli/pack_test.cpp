#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/child_process.h"
#include "image/png_reader.h"
#include "image/test_folder.h"

namespace tintype {
namespace {

using Json = nlohmann::json;

TEST(Pack, DrawsAndInspectsAsTheModelDoes) {
  const TestFolder folder;
  const RunOptions here{folder.path(), "", {}};
  const RunResult packed = run_cli({"pack", TT_MODEL, "-o", "emoji.tintype", "--json"}, here);
  ASSERT_EQ(packed.code, 0) << packed.err;
  const Json info = Json::parse(packed.out);
  EXPECT_EQ(info.at("kind"), "packed");
  EXPECT_EQ(info.at("file"), "emoji.tintype");
  EXPECT_NE(info.at("note").get<std::string>().find("profile exact"), std::string::npos);

  const auto drawn = [&](const std::string& model, const std::string& file) {
    const RunResult run = run_cli(
        {"txt2img", "-m", model, "-p", "red apple", "-s", "7", "--steps", "2", "-o", file}, here);
    EXPECT_EQ(run.code, 0) << run.err;
    return read_png(folder / file).rgb;
  };
  EXPECT_EQ(drawn(TT_MODEL, "a.png"), drawn("emoji.tintype", "b.png"));

  const RunResult inspect = run_cli({"inspect", "emoji.tintype"}, here);
  ASSERT_EQ(inspect.code, 0) << inspect.err;
  for (const char* part : {"StableDiffusionPipeline, packed model", "profile exact", "panels of",
                           "UNet2DConditionModel", "128 x 128"})
    EXPECT_NE(inspect.out.find(part), std::string::npos) << part << " in\n" << inspect.out;

  const RunResult tokens = run_cli({"tokens", "-m", "emoji.tintype", "-p", "red apple"}, here);
  EXPECT_EQ(tokens.code, 0) << tokens.err;
  EXPECT_EQ(tokens.out, run_cli({"tokens", "-m", TT_MODEL, "-p", "red apple"}, here).out);
}

TEST(Pack, AdaptersAreMergedForGood) {
  const std::string adapter = TT_SOURCE_DIR "/models/adapters/line-drawing.safetensors:0.8";
  const TestFolder folder;
  const RunOptions here{folder.path(), "", {}};
  const auto drawn = [&](const std::string& model, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"txt2img",   "-m",      model, "-p",
                                          "red apple", "-s",      "7",   "-o",
                                          "new.png",   "--steps", "2",   "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const RunResult run = run_cli(arguments, here);
    EXPECT_EQ(run.code, 0) << run.err;
    const Json settings = run.code ? Json() : Json::parse(run.out).at("settings");
    return std::pair(read_png(folder / "new.png").rgb, settings);
  };
  const RunResult pack =
      run_cli({"pack", TT_MODEL, "-o", "merged.tintype", "--lora", adapter}, here);
  ASSERT_EQ(pack.code, 0) << pack.err;
  EXPECT_NE(pack.out.find("line-drawing:0.8:0.8"), std::string::npos) << pack.out;
  const auto [merged, settings] = drawn(TT_MODEL, {"--lora", adapter, "--merge"});
  ASSERT_TRUE(settings.contains("merged_adapters")) << settings;
  EXPECT_EQ(settings.at("merged_adapters")[0].at("name"), "line-drawing");
  EXPECT_FALSE(settings.contains("adapters"));
  EXPECT_NE(merged, drawn(TT_MODEL, {}).first);
  const auto [packed, packed_settings] = drawn("merged.tintype", {});
  EXPECT_EQ(packed, merged);
  EXPECT_EQ(packed_settings.at("merged_adapters"), settings.at("merged_adapters"));
  const RunResult refused = run_cli(
      {"txt2img", "-m", "merged.tintype", "-p", "a", "--lora", adapter, "--merge", "-o", "no.png"},
      here);
  EXPECT_EQ(refused.code, 2) << refused.err;
  EXPECT_NE(refused.err.find("packed model"), std::string::npos) << refused.err;
  EXPECT_NE(run_cli({"txt2img", "-m", TT_MODEL, "-p", "a", "--merge"}, here).code, 0);
}

TEST(Pack, BalancedIsSmallerAndSaysSo) {
  const TestFolder folder;
  const RunOptions here{folder.path(), "", {}};
  for (const char* profile : {"exact", "balanced"}) {
    const RunResult run = run_cli({"pack", TT_MODEL, "-o", profile, "--profile", profile}, here);
    ASSERT_EQ(run.code, 0) << run.err;
    EXPECT_NE(run.out.find(std::string("profile ") + profile), std::string::npos) << run.out;
  }
  EXPECT_LT(std::filesystem::file_size(folder / "balanced"),
            std::filesystem::file_size(folder / "exact") * 3 / 4);
}

TEST(Pack, RefusalsLeaveTheOldFile) {
  const TestFolder folder;
  const RunOptions here{folder.path(), "", {}};
  write_file(folder / "old", "old");
  struct Refusal {
    std::vector<std::string> arguments;
    int code;
    const char* message;
  };
  for (const Refusal& bad : std::vector<Refusal>{
           {{"pack", TT_MODEL}, 2, "--output"},
           {{"pack", TT_MODEL, "-o", "old", "--profile", "ballanced"}, 2, "balanced"},
           {{"pack", "/nonexistent", "-o", "old"}, 3, "nonexistent"},
           {{"pack", TT_MODEL, "-o", "none/new"}, 7, "existing folder"},
           {{"pack", TT_MODEL, "-o", "old", "--vae", "x"}, 2, "folder"}}) {
    const RunResult run = run_cli(bad.arguments, here);
    EXPECT_EQ(run.code, bad.code) << run.err;
    EXPECT_NE(run.err.find(bad.message), std::string::npos) << run.err;
    EXPECT_EQ(read_file(folder / "old"), "old");
    EXPECT_EQ(folder.names().size(), 1u);
  }
}

TEST(Pack, ATruncatedFileIsRefused) {
  const TestFolder folder;
  const RunOptions here{folder.path(), "", {}};
  ASSERT_EQ(run_cli({"pack", TT_MODEL, "-o", "m"}, here).code, 0);
  std::filesystem::resize_file(folder / "m", std::filesystem::file_size(folder / "m") - 1000);
  for (const RunResult& run : {run_cli({"inspect", "m"}, here),
                               run_cli({"txt2img", "-m", "m", "-p", "x", "-o", "a.png"}, here)}) {
    EXPECT_EQ(run.code, 4) << run.err;
    EXPECT_NE(run.err.find("incomplete copy"), std::string::npos) << run.err;
  }
}

TEST(Pack, AnotherInstructionSetIsRefusedByName) {
  const TestFolder folder;
  const RunOptions here{folder.path(), "", {}};
  const RunOptions old{folder.path(), "", {"TT_CPU_ISA=sse4"}};
  if (run_cli({"samplers"}, old).code != 0) GTEST_SKIP() << "this machine has no SSE4";
  const RunResult packed = run_cli({"pack", TT_MODEL, "-o", "m"}, old);
  ASSERT_EQ(packed.code, 0) << packed.err;
  const RunResult run = run_cli({"txt2img", "-m", "m", "-p", "x", "-o", "a.png"}, here);
  if (run.code == 0) GTEST_SKIP() << "this machine has nothing better than SSE4";
  EXPECT_EQ(run.code, 5) << run.err;
  for (const char* part : {"panels of 8", "this machine", "pack the model again"})
    EXPECT_NE(run.err.find(part), std::string::npos) << part << " in " << run.err;
  const RunResult same =
      run_cli({"txt2img", "-m", "m", "-p", "x", "--steps", "1", "-o", "a.png"}, old);
  EXPECT_EQ(same.code, 0) << same.err;
}

}  // namespace
}  // namespace tintype
