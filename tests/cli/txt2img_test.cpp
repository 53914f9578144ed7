#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/child_process.h"
#include "image/png_reader.h"
#include "image/test_folder.h"

namespace tintype {
namespace {

using Json = nlohmann::json;

std::vector<std::string> draw(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"txt2img", "-m", TT_MODEL, "--steps", "2", "-s", "7"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Txt2Img, WritesThePictureAndSaysWhere) {
  const TestFolder folder;
  const RunResult run = run_cli(draw({"-p", "red apple", "-o", "a.png"}), {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out.rfind("a.png  (128 x 128, seed 7, 2 steps", 0), 0u) << run.out;
  EXPECT_EQ(run.err, "") << "no progress bar where stderr is no terminal";
  EXPECT_EQ(read_png(folder / "a.png").width_px, 128);
  EXPECT_EQ(folder.names().size(), 1u);
}

TEST(Txt2Img, JsonIsOneObjectWithEverything) {
  const TestFolder folder;
  const RunResult run =
      run_cli(draw({"-p", "red apple", "-n", "blue", "-W", "64", "-H", "128", "--json"}),
              {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(std::count(run.out.begin(), run.out.end(), '\n'), 1);
  const Json result = Json::parse(run.out);
  EXPECT_EQ(result.at("files"), Json({"tintype-7.png"}));
  EXPECT_EQ(result.at("seed"), 7);
  EXPECT_EQ(result.at("settings").at("prompt"), "red apple");
  EXPECT_EQ(result.at("settings").at("steps"), 2);
  EXPECT_EQ(result.at("prompt_truncated"), false);
  EXPECT_GT(result.at("peak_memory_bytes"), 0);
  EXPECT_FALSE(result.at("version").get<std::string>().empty());
  double sum = 0;
  for (const char* stage : {"load_s", "encode_prompt_s", "denoise_s", "decode_s", "save_s"}) {
    EXPECT_GE(result.at("timings").at(stage), 0.0);
    sum += result.at("timings").at(stage).get<double>();
  }
  EXPECT_LE(sum, result.at("timings").at("total_s").get<double>() + 1e-6);
  EXPECT_EQ(result.at("timings").at("step_s").size(), 2u);
  const Image image = read_png(folder / "tintype-7.png");
  EXPECT_EQ(image.width_px, 64);
  EXPECT_EQ(image.height_px, 128);
}

TEST(Txt2Img, ThePngCarriesItsSettings) {
  const TestFolder folder;
  const std::string prompt = "красное яблоко 🍎";
  const RunResult run =
      run_cli(draw({"-p", prompt, "-o", "a.png", "--json"}), {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  PngText text;
  read_png(folder / "a.png", &text);
  ASSERT_EQ(text.size(), 2u);
  EXPECT_EQ(text[0].first, "parameters");
  EXPECT_EQ(text[0].second.rfind(prompt, 0), 0u) << text[0].second;
  EXPECT_NE(text[0].second.find("Steps: 2"), std::string::npos) << text[0].second;
  EXPECT_EQ(text[1].first, "tintype");
  EXPECT_EQ(Json::parse(text[1].second), Json::parse(run.out).at("settings"));
}

TEST(Txt2Img, ReplacesANamedFileButNeverADefaultOne) {
  const TestFolder folder;
  write_file(folder / "tintype-7.png", "old");
  write_file(folder / "named.png", "old");
  ASSERT_EQ(run_cli(draw({"-p", ""}), {folder.path(), "", {}}).code, 0);
  ASSERT_EQ(run_cli(draw({"-p", "", "-o", "named.png"}), {folder.path(), "", {}}).code, 0);
  EXPECT_EQ(read_file(folder / "tintype-7.png"), "old");
  EXPECT_EQ(read_file(folder / "tintype-7-2.png"), read_file(folder / "named.png"));
}

TEST(Txt2Img, SameSeedSameBytesOnAnyThreadCount) {
  const TestFolder folder;
  for (const char* threads : {"1", "2", "3"}) {
    const RunResult run =
        run_cli(draw({"-p", "panda", "--threads", threads, "-o", std::string(threads) + ".png"}),
                {folder.path(), "", {}});
    ASSERT_EQ(run.code, 0) << run.err;
  }
  EXPECT_EQ(read_file(folder / "1.png"), read_file(folder / "2.png"));
  EXPECT_EQ(read_file(folder / "1.png"), read_file(folder / "3.png"));
}

TEST(Txt2Img, AnUnsetSeedIsDrawnAndTold) {
  const TestFolder folder;
  std::vector<Json> seeds;
  for (int i = 0; i < 2; ++i) {
    const RunResult run = run_cli({"txt2img", "-m", TT_MODEL, "-p", "", "--steps", "1", "--json"},
                                  {folder.path(), "", {}});
    ASSERT_EQ(run.code, 0) << run.err;
    seeds.push_back(Json::parse(run.out).at("seed"));
  }
  EXPECT_NE(seeds[0], seeds[1]);
}

TEST(Txt2Img, ALongPromptIsDrawnWithAWarning) {
  const TestFolder folder;
  std::string prompt;
  for (int i = 0; i < 200; ++i) prompt += "red apple ";
  const RunResult run = run_cli(draw({"-p", prompt, "--json"}), {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(Json::parse(run.out).at("prompt_truncated"), true);
  EXPECT_NE(run.err.find("warning"), std::string::npos) << run.err;
}

TEST(Txt2Img, HelpTeaches) {
  const TestFolder folder;
  const RunResult run = run_cli({"txt2img", "--help"}, {folder.path(), "", {}});
  EXPECT_EQ(run.code, 0);
  for (const char* part : {"Examples:", "Exit codes:", "--prompt", "--scheduler", "default",
                           "multiple of 8", "dpmpp_2m", "karras", "--rng", "--json"})
    EXPECT_NE(run.out.find(part), std::string::npos) << part;
  EXPECT_EQ(run.err, "");
}

TEST(Inspect, TellsWhatTheModelIs) {
  const TestFolder folder;
  const RunResult text = run_cli({"inspect", TT_MODEL}, {folder.path(), "", {}});
  ASSERT_EQ(text.code, 0) << text.err;
  for (const char* part :
       {"UNet2DConditionModel", "AutoencoderKL", "CLIPTextModel", "f16", "128 x 128", "memory"})
    EXPECT_NE(text.out.find(part), std::string::npos) << part << " in\n" << text.out;
  const RunResult run = run_cli({"inspect", TT_MODEL, "--json"}, {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json info = Json::parse(run.out);
  EXPECT_EQ(info.at("components").size(), 3u);
  for (const Json& part : info.at("components")) EXPECT_GT(part.at("parameters"), 0);
  EXPECT_GT(info.at("weight_bytes"), 0);
  EXPECT_GT(info.at("peak_bytes"), info.at("weight_bytes"));
}

TEST(Samplers, AreListed) {
  const TestFolder folder;
  const RunResult run = run_cli({"samplers", "--json"}, {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json names = Json::parse(run.out).at("samplers");
  for (const char* name : {"ddim", "euler", "euler_a", "pndm", "dpmpp_2m"})
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
}

TEST(Txt2Img, CountDrawsSeedsInTurn) {
  const TestFolder folder;
  const RunResult three = run_cli(draw({"-p", "panda", "--count", "3", "-o", "p.png", "--json"}),
                                  {folder.path(), "", {}});
  ASSERT_EQ(three.code, 0) << three.err;
  const Json result = Json::parse(three.out);
  EXPECT_EQ(result.at("files"), Json({"p-1.png", "p-2.png", "p-3.png"}));
  EXPECT_EQ(result.at("pictures").size(), 3u);
  EXPECT_EQ(result.at("pictures")[2].at("seed"), 9);
  const RunResult alone =
      run_cli({"txt2img", "-m", TT_MODEL, "--steps", "2", "-s", "9", "-p", "panda", "-o", "q.png"},
              {folder.path(), "", {}});
  ASSERT_EQ(alone.code, 0) << alone.err;
  EXPECT_EQ(read_png(folder / "p-3.png").rgb, read_png(folder / "q.png").rgb);
}

TEST(Txt2Img, BatchesDrawWhatTheirSeedsDrawAlone) {
  const TestFolder folder;
  const RunResult batches = run_cli(draw({"-p", "panda", "--count", "2", "-b", "2", "--sampler",
                                          "euler_a", "-o", "p.png", "--json"}),
                                    {folder.path(), "", {}});
  ASSERT_EQ(batches.code, 0) << batches.err;
  const Json result = Json::parse(batches.out);
  EXPECT_EQ(result.at("files"), Json({"p-1.png", "p-2.png", "p-3.png", "p-4.png"}));
  EXPECT_EQ(result.at("pictures")[3].at("seed"), 10);
  const RunResult alone =
      run_cli(draw({"-p", "panda", "--count", "4", "--sampler", "euler_a", "-o", "q.png"}),
              {folder.path(), "", {}});
  ASSERT_EQ(alone.code, 0) << alone.err;
  // The whole files: pixels and settings, so that each picture tells how to draw it again.
  for (const char* number : {"1", "2", "3", "4"})
    EXPECT_EQ(read_file(folder / (std::string("p-") + number + ".png")),
              read_file(folder / (std::string("q-") + number + ".png")));
  EXPECT_NE(read_png(folder / "p-1.png").rgb, read_png(folder / "p-2.png").rgb);
}

TEST(Txt2Img, VariationsCountTheirOwnSeeds) {
  const TestFolder folder;
  const RunResult run = run_cli(draw({"-p", "panda", "-b", "2", "--variation-seed", "30",
                                      "--variation-strength", "0.5", "-o", "p.png", "--json"}),
                                {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json pictures = Json::parse(run.out).at("pictures");
  for (const size_t i : {0u, 1u}) {
    EXPECT_EQ(pictures[i].at("seed"), 7);
    EXPECT_EQ(pictures[i].at("settings").at("variation_seed"), 30 + i);
  }
}

TEST(Txt2Img, EmbeddingsStandInPrompts) {
  const TestFolder folder;
  const std::string fixture =
      std::string(TT_FIXTURES) + "/pipelines/four-level-embeddings/embeddings";
  const auto drawn = [&](const char* file, const std::vector<std::string>& more) {
    std::vector<std::string> all = {
        "txt2img", "-m",      std::string(TT_FIXTURES) + "/models/four-level",
        "-p",      "a brush", "-s",
        "1",       "--steps", "2",
        "--json",  "-o",      file};
    all.insert(all.end(), more.begin(), more.end());
    const RunResult run = run_cli(all, {folder.path(), "", {}});
    EXPECT_EQ(run.code, 0) << run.err;
    return run;
  };
  const RunResult run = drawn("a.png", {"--embeddings", fixture});
  EXPECT_EQ(run.err, "");
  EXPECT_EQ(Json::parse(run.out).at("settings").at("embeddings"), "embeddings");
  drawn("b.png", {});
  EXPECT_NE(read_png(folder / "a.png").rgb, read_png(folder / "b.png").rgb);
  // Of another family: drawn as words, and said so.
  const RunResult other =
      drawn("c.png",
            {"--embeddings", std::string(TT_FIXTURES) + "/pipelines/sdxl-embeddings/embeddings"});
  EXPECT_NE(other.err.find("warning"), std::string::npos);
  EXPECT_NE(other.err.find("brush.safetensors"), std::string::npos) << other.err;
  EXPECT_EQ(other.err.find("mist.safetensors"), std::string::npos) << "not in the prompt";
  EXPECT_EQ(read_png(folder / "b.png").rgb, read_png(folder / "c.png").rgb);
}

TEST(Txt2Img, GridIsOneSheetOfAllCombinations) {
  const TestFolder folder;
  const RunResult run = run_cli(
      draw({"-p", "panda", "-o", "g.png", "--grid", "steps=1,2,3", "sampler=ddim,euler", "--json"}),
      {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json result = Json::parse(run.out);
  EXPECT_EQ(result.at("files"), Json({"g.png"}));
  ASSERT_EQ(result.at("pictures").size(), 6u);
  EXPECT_EQ(result.at("pictures")[4].at("settings").at("steps"), 2);
  EXPECT_EQ(result.at("pictures")[4].at("settings").at("sampler"), "euler");
  const Image sheet = read_png(folder / "g.png");
  EXPECT_GT(sheet.width_px, 3 * 128);
  EXPECT_GT(sheet.height_px, 2 * 128);
}

TEST(Txt2Img, WrongGridsAreRefusedBeforeLoading) {
  const TestFolder folder;
  const std::vector<std::vector<std::string>> wrong = {{"--grid", "colour=red"},
                                                       {"--grid", "steps="},
                                                       {"--grid", "steps=1,x"},
                                                       {"--grid", "steps=1", "steps=2"},
                                                       {"--grid", "steps=1", "--count", "2"},
                                                       {"--grid", "steps=1", "-b", "2"},
                                                       {"-b", "0"},
                                                       {"-b", "65"},
                                                       {"--count", "0"}};
  for (const auto& flags : wrong) {
    std::vector<std::string> all = {"txt2img", "-m", "/nonexistent", "-p", "x"};
    all.insert(all.end(), flags.begin(), flags.end());
    EXPECT_EQ(run_cli(all, {folder.path(), "", {}}).code, 2) << flags[0] << " " << flags[1];
  }
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace tintype
