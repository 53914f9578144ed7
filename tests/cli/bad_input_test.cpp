#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/child_process.h"
#include "image/test_folder.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct BadInput {
  std::vector<std::string> arguments;
  int code;
  std::string message;  ///< part of what stderr must say
};

/// txt2img on the demo model with `more`, writing to the existing a.png.
BadInput drawing(const std::vector<std::string>& more, int code, const std::string& message) {
  BadInput out{{"txt2img", "-m", TT_MODEL, "-p", "red apple", "-s", "7"}, code, message};
  if (std::find(more.begin(), more.end(), "-o") == more.end())
    out.arguments.insert(out.arguments.end(), {"-o", "a.png"});
  out.arguments.insert(out.arguments.end(), more.begin(), more.end());
  return out;
}

/// One clear line on stderr, the right code, nothing on stdout, the old file as it was, no new one.
void expect_refused(const BadInput& bad) {
  const TestFolder folder;
  write_file(folder / "a.png", "old");
  const RunResult run = run_cli(bad.arguments, {folder.path(), "", {}});
  const std::string shown = ::testing::PrintToString(bad.arguments) + "\n" + run.err;
  EXPECT_EQ(run.code, bad.code) << shown;
  EXPECT_NE(run.err.find(bad.message), std::string::npos) << shown;
  EXPECT_EQ(run.err.rfind("tintype: error: [", 0), 0u) << shown;
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << shown;
  EXPECT_EQ(run.out, "") << shown;
  EXPECT_TRUE(read_file(folder / "a.png") == "old") << shown;
  EXPECT_EQ(folder.names().size(), 1u) << shown;
}

TEST(BadInput, UsageErrors) {
  for (const BadInput& bad : std::vector<BadInput>{
           {{}, 2, "must be one of txt2img, img2img, inpaint, inspect, compare, pack, samplers"},
           {{"draw"}, 2, "got \"draw\""},
           {{"txt2img"}, 2, "--model"},
           {{"txt2img", "-m", TT_MODEL}, 2, "--prompt"},
           {{"inspect"}, 2, "MODEL"},
           drawing({"--nonsense"}, 2, "--nonsense"),
           drawing({"-W"}, 2, "--width"),
           drawing({"-p", "again"}, 2, "--prompt"),
           drawing({"stray"}, 2, "stray")})
    expect_refused(bad);
}

TEST(BadInput, ValuesOutOfRange) {
  for (const BadInput& bad : std::vector<BadInput>{
           drawing({"--steps", "0"}, 2, "[--steps]"), drawing({"--steps", "-3"}, 2, "[--steps]"),
           drawing({"--steps", "1001"}, 2, "[--steps]"),
           drawing({"--steps", "99999999999999999999"}, 2, "[--steps]"),
           drawing({"--steps", "two"}, 2, "[--steps]"),
           drawing({"--guidance", "nan"}, 2, "[--guidance]"),
           drawing({"--guidance", "inf"}, 2, "[--guidance]"),
           drawing({"--guidance", "strong"}, 2, "[--guidance]"),
           drawing({"-s", "-1"}, 2, "[--seed]"),
           drawing({"-s", "18446744073709551616"}, 2, "[--seed]"),
           drawing({"-s", "7.5"}, 2, "[--seed]"), drawing({"-W", "0"}, 2, "[--width]"),
           drawing({"-H", "-64"}, 2, "[--height]"), drawing({"-W", "100000"}, 2, "[--width]"),
           drawing({"--threads", "-1"}, 2, "[--threads]"),
           drawing({"--deadline", "-1"}, 2, "[--deadline]"),
           drawing({"--deadline", "nan"}, 2, "[--deadline]")}) {
    // A repeated -s is itself an error: drop the first one.
    BadInput single = bad;
    if (single.arguments[single.arguments.size() - 2] == "-s")
      single.arguments.erase(single.arguments.begin() + 5, single.arguments.begin() + 7);
    expect_refused(single);
  }
}

TEST(BadInput, ValuesTheModelOrEngineRefuses) {
  for (const BadInput& bad : std::vector<BadInput>{
           drawing({"-W", "100"}, 2, "multiple of 8"), drawing({"-H", "129"}, 2, "multiple of 8"),
           drawing({"--sampler", "eulr"}, 2, "euler"),
           drawing({"--scheduler", "kerras"}, 2, "karras"), drawing({"--rng", "dice"}, 2, "torch"),
           drawing({"--device", "abacus"}, 2, "cpu")})
    expect_refused(bad);
}

TEST(BadInput, OutputsThatCannotBeWrittenAreRefusedBeforeDrawing) {
  for (const BadInput& bad : std::vector<BadInput>{
           drawing({"-o", "missing/a.png"}, 7, "must be an existing folder"),
           drawing({"-o", "."}, 7, "must name a file"),
           drawing({"-o", "/dev/null"}, 7, "regular file"),
           drawing({"-o", "a.png/b.png"}, 7, "folder"), drawing({"-o", ""}, 2, "[--output]"),
           drawing({"-o", "/proc/a.png"}, 7, "[output]")}) {
    expect_refused(bad);
  }
}

TEST(BadInput, PassedDeadline) {
  expect_refused(drawing({"--steps", "500", "--deadline", "0.5"}, 8, "deadline"));
}

/// A copy of the demo model whose weights are links.
void copy_model(const fs::path& to) {
  for (const auto& entry : fs::recursive_directory_iterator(TT_MODEL)) {
    const fs::path target = to / fs::relative(entry.path(), TT_MODEL);
    if (entry.is_directory())
      fs::create_directories(target);
    else if (entry.path().extension() == ".safetensors") {
      fs::create_directories(target.parent_path());
      fs::create_symlink(entry.path(), target);
    } else {
      fs::create_directories(target.parent_path());
      fs::copy_file(entry.path(), target);
    }
  }
}

/// What `inspect` and `txt2img` say about a damaged copy: the same code, and a message that names
/// the file.
void expect_model_refused(const fs::path& model, int code, const std::string& message) {
  expect_refused({{"txt2img", "-m", model.string(), "-p", "x", "-o", "a.png"}, code, message});
}

// Before the model, whose loading takes longest: this one would be an error, too.
TEST(BadInput, ABadUpscalerIsFoundBeforeTheModelIsLoaded) {
  for (const auto& [more, code, message] :
       std::vector<std::tuple<std::vector<std::string>, int, std::string>>{
           {{"--hires", "2", "--hires-upscaler", "none.safetensors"}, 3, "none.safetensors"},
           {{"--hires", "2", "--hires-upscaler", "a.png"}, 4, "a.png"},
           {{"--hires-strength", "0.5"}, 2, "--hires"}}) {
    BadInput bad{{"txt2img", "-m", "no-such-model", "-p", "x", "-o", "a.png"}, code, message};
    bad.arguments.insert(bad.arguments.end(), more.begin(), more.end());
    expect_refused(bad);
  }
}

TEST(BadInput, APictureThatDoesNotFitInMemoryIsNotUpscaled) {
  const std::string upscaler = TT_FIXTURES "/upscalers/x4.safetensors";
  const TestFolder folder;
  const RunOptions here{folder.path(), "", {}};
  const RunResult drawn =
      run_cli({"txt2img", "-m", TT_MODEL, "-p", "a", "--steps", "1", "-o", "a.png"}, here);
  ASSERT_EQ(drawn.code, 0) << drawn.err;
  const auto upscale = [&](const char* limit) {
    return run_cli({"upscale", "-i", "a.png", "-m", upscaler, "-o", "b.png", "--tile", "64",
                    "--memory-limit", limit},
                   here);
  };
  EXPECT_EQ(upscale("100000").code, 6);
  EXPECT_NE(upscale("100000").err.find("tiles of 64"), std::string::npos);
  EXPECT_EQ(upscale("1G").code, 0);
}

TEST(BadModel, MissingFilesAreNamed) {
  for (const char* name :
       {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "text_encoder/config.json",
        "text_encoder/model.safetensors", "tokenizer/vocab.json", "tokenizer/merges.txt",
        "scheduler/scheduler_config.json"}) {
    SCOPED_TRACE(name);
    const TestFolder folder;
    copy_model(folder / "model");
    // The tokenizer is described twice; without one description the other may serve.
    fs::remove(folder / "model/tokenizer/tokenizer.json");
    fs::remove(folder / "model" / fs::path(name));
    expect_model_refused(folder / "model", 3, fs::path(name).parent_path().string());
  }
  expect_model_refused("no-such-model", 3, "no-such-model");
}

TEST(BadModel, DamagedFilesAreCorrupt) {
  for (const char* name : {"model_index.json", "unet/config.json",
                           "scheduler/scheduler_config.json", "tokenizer/vocab.json"}) {
    SCOPED_TRACE(name);
    const TestFolder folder;
    copy_model(folder / "model");
    fs::remove(folder / "model/tokenizer/tokenizer.json");
    write_file(folder / "model" / fs::path(name), "{\"cut off");
    expect_model_refused(folder / "model", 4, fs::path(name).filename().string());
  }
  const TestFolder folder;
  copy_model(folder / "model");
  const fs::path weights = folder / "model/unet/diffusion_pytorch_model.safetensors";
  const std::string whole = read_file(weights);
  fs::remove(weights);
  write_file(weights, whole.substr(0, whole.size() / 2));
  expect_model_refused(folder / "model", 4, "diffusion_pytorch_model.safetensors");
}

TEST(BadModel, PickledAndSingleFilesAreUnsupportedWithAHint) {
  const TestFolder folder;
  write_file(folder / "model.ckpt", "PK\x03\x04");
  expect_model_refused(folder / "model.ckpt", 5, "diffusers");
  copy_model(folder / "model");
  fs::remove(folder / "model/unet/diffusion_pytorch_model.safetensors");
  write_file(folder / "model/unet/diffusion_pytorch_model.bin", "PK\x03\x04");
  expect_model_refused(folder / "model", 5, "safetensors");
}

TEST(Json, FailuresAreOneObjectToo) {
  const TestFolder folder;
  for (const auto& [arguments, kind] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"txt2img", "-m", TT_MODEL, "-p", "x", "--steps", "0", "--json"}, "invalid_argument"},
           {{"txt2img", "--json"}, "invalid_argument"},
           {{"txt2img", "-m", TT_MODEL, "-p", "x", "-o", "no/a.png", "--json"}, "io"},
           {{"inspect", "no-such-model", "--json"}, "not_found"}}) {
    const RunResult run = run_cli(arguments, {folder.path(), "", {}});
    EXPECT_NE(run.code, 0);
    EXPECT_EQ(std::count(run.out.begin(), run.out.end(), '\n'), 1) << run.out;
    const Json error = Json::parse(run.out).at("error");
    EXPECT_EQ(error.at("kind"), kind);
    EXPECT_NE(run.err.find(error.at("message").get<std::string>()), std::string::npos);
  }
}

TEST(Json, AStdoutThatIsFullIsAnIoError) {
  const TestFolder folder;
  const RunResult run = run_cli({"samplers"}, {folder.path(), "/dev/full", {}});
  EXPECT_EQ(run.code, 7) << run.err;
  EXPECT_NE(run.err.find("[stdout]"), std::string::npos) << run.err;
}

}  // namespace
}  // namespace tintype
