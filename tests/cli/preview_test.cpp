// --preview, --preset, --offload, --hires and upscale through the program itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/temporary_folder.h"
#include "cli/child_process.h"

namespace tintype::testing {
namespace {

using Json = nlohmann::json;

std::vector<std::string> with(std::vector<std::string> arguments,
                              const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

const std::vector<std::string> kDraw = {"txt2img", "-m", TT_MODEL, "-p",   "red apple",
                                        "-s",      "7",  "-o",     "a.png"};

TEST(PreviewFlags, FilesOfEveryNthStepOfEveryPicture) {
  const TemporaryFolder folder;
  const RunResult run =
      run_cli(with(kDraw, {"--steps", "4", "--count", "2", "--preview", "seen/here",
                           "--preview-every", "2", "--preview-size", "40"}),
              {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path() / "seen" / "here"))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"preview-1-002.png", "preview-1-004.png",
                                             "preview-2-002.png", "preview-2-004.png"}));
}

TEST(PreviewFlags, InTheTerminalTheyAreRedrawnInPlace) {
  const TemporaryFolder folder;
  TerminalRun run(with(kDraw, {"--steps", "3", "--preview", "blocks"}),
                  {folder.path(), "", {"TERM=xterm-256color", "COLORTERM=truecolor"}});
  EXPECT_EQ(run.wait(), 0);
  EXPECT_NE(run.screen().find("\u2580"), std::string::npos);
  EXPECT_NE(run.screen().find("\x1B[38;2;"), std::string::npos);
  EXPECT_NE(run.screen().find("A\x1B[38;2;"), std::string::npos) << "back up over the last one";
}

TEST(PreviewFlags, ATerminalIsAskedForSixelsAndMaySayNothing) {
  const TemporaryFolder folder;
  TerminalRun run(with(kDraw, {"--steps", "2", "--preview", "terminal"}),
                  {folder.path(), "", {"TERM=xterm-256color"}});
  EXPECT_EQ(run.wait(), 0);
  EXPECT_NE(run.screen().find("\u2580"), std::string::npos);
}

TEST(PreviewFlags, WithoutATerminalIsAnError) {
  const TemporaryFolder folder;
  const RunResult run = run_cli(with(kDraw, {"--preview", "terminal"}), {folder.path(), "", {}});
  EXPECT_EQ(run.code, 2);
  EXPECT_NE(run.err.find("--preview"), std::string::npos) << run.err;
}

TEST(Presets, FillInAndGivenFlagsWin) {
  const TemporaryFolder folder;
  const RunResult run = run_cli(with(kDraw, {"--preset", "low_memory", "--steps", "2", "--json"}),
                                {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json result = Json::parse(run.out), settings = result.at("settings");
  EXPECT_EQ(settings.at("steps"), 2);
  EXPECT_EQ(settings.at("sampler"), "dpmpp_2m");
  EXPECT_EQ(settings.at("profile"), "low-memory");
  EXPECT_EQ(result.at("offload"), "sequential");
  EXPECT_EQ(run_cli(with(kDraw, {"--preset", "best"}), {folder.path(), "", {}}).code, 2);
  const RunResult table = run_cli({"presets", "--json"}, {folder.path(), "", {}});
  EXPECT_EQ(Json::parse(table.out).at("presets")[0].at("name"), "ultra_fast");
}

TEST(Caches, AreCountedInTheResult) {
  const TemporaryFolder folder;
  const RunResult run =
      run_cli(with(kDraw, {"--steps", "1", "--count", "3", "--json"}), {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json prompts = Json::parse(run.out).at("caches").at("prompt_embeddings");
  EXPECT_EQ(prompts.at("misses"), 2);
  EXPECT_EQ(prompts.at("hits"), 4);
}

TEST(Upscale, MakesAPictureLargerAndHiresUsesIt) {
  const TemporaryFolder folder;
  const std::string file = std::string(TT_FIXTURES) + "/upscalers/x2-sequence.safetensors";
  ASSERT_EQ(run_cli(with(kDraw, {"--steps", "1"}), {folder.path(), "", {}}).code, 0);
  const RunResult run = run_cli({"upscale", "-i", "a.png", "-m", file, "--tile", "50", "--json"},
                                {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json result = Json::parse(run.out);
  EXPECT_EQ(result.at("files")[0], "a-x2.png");
  EXPECT_EQ(result.at("width_px"), 256);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "a-x2.png"));
  const RunResult hires =
      run_cli(with(kDraw, {"--steps", "2", "--hires", "1.5", "--hires-upscaler", file, "--json"}),
              {folder.path(), "", {}});
  ASSERT_EQ(hires.code, 0) << hires.err;
  const Json settings = Json::parse(hires.out).at("settings");
  EXPECT_EQ(settings.at("width_px"), 192);
  EXPECT_EQ(settings.at("hires_upscaler"), "x2-sequence");
  EXPECT_EQ(run_cli(with(kDraw, {"--hires-strength", "0.5"}), {folder.path(), "", {}}).code, 2);
}

}  // namespace
}  // namespace tintype::testing
