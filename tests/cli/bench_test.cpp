#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/child_process.h"
#include "image/test_folder.h"

namespace tintype {
namespace {

using Json = nlohmann::json;

Json measured(std::vector<std::string> arguments) {
  const TestFolder folder;
  arguments.insert(arguments.begin(), "bench");
  arguments.push_back("--json");
  const RunResult run = run_cli(arguments, {folder.path(), "", {}});
  EXPECT_EQ(run.code, 0) << run.err;
  return run.code ? Json() : Json::parse(run.out);
}

/// Of the network of one step with guidance, as PyTorch's FlopCounterMode counts diffusers'. Ours
/// embeds the timestep for one row and not for both.
constexpr double kStepOperations = 3730710528.0, kTimeEmbedding = 2.0 * (96 * 384 + 384 * 384);

/// What the halves of guidance share, of 16 x 16 positions and 96 channels: conv_in, the first
/// resnet with its projection of the time, proj_in, and the first self-attention with its four
/// linear layers.
constexpr double kPositions = 256, kChannels = 96;
constexpr double kShared = 2 * kPositions * 9 * kChannels * (4 + 2 * kChannels) +
                           2 * 384 * kChannels + 5 * 2 * kPositions * kChannels * kChannels +
                           4 * kPositions * kPositions * kChannels;

/// Of a row: keys and values of 77 tokens of 192, for three attentions of 96 channels and four of
/// 192. They are made at a request's first call, which is not measured.
constexpr double kKeysAndValues = 2 * 2.0 * 77 * 192 * (3 * 96 + 4 * 192);

double sum(const Json& part, const char* key) {
  double total = 0;
  for (const Json& op : part.at("ops")) total += op.at(key).get<double>();
  return total;
}

TEST(Bench, MachineTellsItsPeaks) {
  const Json machine = measured({"machine", "--threads", "1"});
  EXPECT_EQ(machine.at("threads"), 1);
  EXPECT_GT(machine.at("peaks").at("f32").at("operations_per_s"), 1e7);
  EXPECT_GT(machine.at("peaks").at("int8").at("operations_per_s"), 1e7);
  EXPECT_TRUE(machine.at("peaks").contains("f16"));
  EXPECT_GT(machine.at("read_bytes_per_s"), 1e7);
}

TEST(Bench, AStepIsTheSumOfItsOps) {
  const Json step = measured({"step", "-m", TT_MODEL, "--repeat", "2"});
  EXPECT_EQ(step.at("part"), "step");
  EXPECT_EQ(step.at("rows"), 2);
  EXPECT_EQ(step.at("width_px"), 128);
  EXPECT_EQ(step.at("operations"), kStepOperations - kTimeEmbedding - kShared - 2 * kKeysAndValues);
  EXPECT_EQ(sum(step, "operations"), step.at("operations").get<double>());
  EXPECT_EQ(sum(step, "bytes"), step.at("bytes").get<double>());
  EXPECT_LE(sum(step, "seconds"), step.at("seconds").get<double>());
  EXPECT_EQ(step.at("all_seconds").size(), 2u);
  double last = 1e9;
  for (const Json& op : step.at("ops")) {
    EXPECT_LE(op.at("seconds"), last) << "longest first";
    last = op.at("seconds");
    EXPECT_FALSE(op.contains("shape"));
  }
  EXPECT_GT(step.at("share_of_peak"), 0);
  EXPECT_LT(step.at("share_of_peak"), 1);
}

TEST(Bench, ShapesBatchesAndSizesChangeWhatIsCounted) {
  const Json whole = measured({"step", "-m", TT_MODEL, "--repeat", "1"});
  const Json shapes =
      measured({"step", "-m", TT_MODEL, "--repeat", "1", "--no-guidance", "--by-shape"});
  EXPECT_EQ(shapes.at("rows"), 1);
  EXPECT_EQ(shapes.at("operations"), kStepOperations / 2 - kKeysAndValues);
  EXPECT_GT(shapes.at("ops").size(), whole.at("ops").size());
  for (const Json& op : shapes.at("ops")) EXPECT_NE(op.at("shape"), "");
  const Json decode = measured({"decode", "-m", TT_MODEL, "--repeat", "1", "--width", "64"});
  EXPECT_EQ(decode.at("width_px"), 64);
  EXPECT_EQ(decode.at("height_px"), 128);
  const Json encode = measured({"encode", "-m", TT_MODEL, "--repeat", "1"});
  EXPECT_GT(encode.at("operations"), 0);
}

TEST(Bench, TextIsATable) {
  const TestFolder folder;
  const RunResult run =
      run_cli({"bench", "decode", "-m", TT_MODEL, "--repeat", "1"}, {folder.path(), "", {}});
  ASSERT_EQ(run.code, 0) << run.err;
  for (const char* words : {"conv2d 3x3", "group_norm", "between ops", "of peak"})
    EXPECT_NE(run.out.find(words), std::string::npos) << words << "\n" << run.out;
}

TEST(Bench, WrongUsesAreRefused) {
  const TestFolder folder;
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"bench"},
        {"bench", "step"},
        {"bench", "step", "-m", TT_MODEL, "--repeat", "0"},
        {"bench", "step", "-m", TT_MODEL, "--width", "7"},
        {"bench", "machine", "--threads", "x"}}) {
    const RunResult run = run_cli(arguments, {folder.path(), "", {}});
    EXPECT_EQ(run.code, 2) << run.err;
  }
}

}  // namespace
}  // namespace tintype
