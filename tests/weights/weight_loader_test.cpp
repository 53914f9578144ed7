/// The strict loader: what it hands out, and what its report says.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/expect_error.h"
#include "weights/safetensors.h"
#include "weights/safetensors_writer.h"
#include "weights/weights.h"

namespace tintype {
namespace {

using testing::expect_error;
using testing::f32_tensor;
using testing::safetensors_file;
using testing::TensorToWrite;

class WeightLoading : public ::testing::Test {
 protected:
  WeightLoader load(const std::vector<TensorToWrite>& tensors) {
    bytes_ = safetensors_file(tensors);
    return WeightLoader("unet",
                        open_safetensors_bytes(std::as_bytes(std::span(bytes_)), "unet/weights"),
                        Device::kCpu);
  }
  std::string bytes_;
};

TEST_F(WeightLoading, TakesEachTensorByPath) {
  WeightLoader loader =
      load({f32_tensor("blocks.0.to_q.weight", {2, 2}, {1, 2, 3, 4}), f32_tensor("top", {1}, {5})});
  const WeightScope block = loader.root() / "blocks" / 0;
  EXPECT_EQ(block.path(), "blocks.0");
  EXPECT_TRUE((block / "to_q").has("weight"));
  EXPECT_FALSE((block / "to_q").has("bias"));
  const Tensor weight = (block / "to_q").take("weight", {2, 2});
  EXPECT_EQ(weight.span<float>()[3], 4.0f);
  EXPECT_EQ(loader.root().take("top", {1}).span<float>()[0], 5.0f);
  EXPECT_EQ(block.device(), Device::kCpu);
  loader.finish();
}

TEST_F(WeightLoading, AcceptsAnyOfSeveralShapes) {
  WeightLoader loader = load({f32_tensor("proj", {2, 1, 1, 1}, {1, 2})});
  const std::array shapes = {Shape{2, 1}, Shape{2, 1, 1, 1}};
  EXPECT_EQ(loader.root().take("proj", shapes).shape(), (Shape{2, 1, 1, 1}));
  loader.finish();
}

TEST_F(WeightLoading, ReportsEveryFaultTogether) {
  WeightLoader loader = load({f32_tensor("conv_in.weight", {1, 2}, {1, 2}),
                              f32_tensor("conv_in.bais", {1}, {1}),
                              {"mask", "U8", {1}, "x"},
                              {"ids", "I64", {1}, std::string(8, '\0')},
                              f32_tensor("fine", {1}, {1}),
                              {"extra", "F16", {2}, "abcd"}});
  const WeightScope root = loader.root();
  EXPECT_TRUE(root.take("fine", {1}).defined());
  EXPECT_FALSE((root / "conv_in").take("weight", {2, 1}).defined());
  EXPECT_FALSE((root / "conv_in").take("bias", {1}).defined());
  EXPECT_FALSE(root.take("mask", {1}).defined());
  EXPECT_FALSE(root.take("ids", {1}).defined());
  const std::array shapes = {Shape{4}, Shape{4, 1}};
  EXPECT_FALSE(root.take("zzzz", shapes).defined());
  expect_error(ErrorKind::kCorruptFile,
               {"[unet] ", "unet/weights", "2 missing, 3 of another form and 2 left over",
                "conv_in.bias [1]; nearest left over: conv_in.bais", "zzzz [4] or [4,1]\n",
                "conv_in.weight must be [2,1], got [1,2]", "mask must be f32, f16 or bf16, got u8",
                "ids must be f32, f16 or bf16, got I64", "extra f16 [2]", "conv_in.bais f32 [1]"},
               [&] { loader.finish(); });
}

TEST_F(WeightLoading, IgnoredNamesMayBeLeftOver) {
  const std::vector<TensorToWrite> tensors = {f32_tensor("a", {1}, {1}),
                                              {"position_ids", "I64", {1}, std::string(8, '\0')}};
  WeightLoader strict = load(tensors);
  strict.root().take("a", {1});
  expect_error(ErrorKind::kCorruptFile, {"1 left over", "position_ids I64"},
               [&] { strict.finish(); });
  WeightLoader lenient = load(tensors);
  lenient.ignore("position_ids");
  lenient.ignore("not there at all");
  lenient.root().take("a", {1});
  lenient.finish();
}

TEST_F(WeightLoading, TakingTwiceIsOurDefect) {
  WeightLoader loader = load({f32_tensor("a", {1}, {1})});
  loader.root().take("a", {1});
  expect_error(ErrorKind::kInternal, {"taken once", "'a' asked for twice"},
               [&] { loader.root().take("a", {1}); });
}

TEST_F(WeightLoading, LongListsAreCut) {
  std::vector<TensorToWrite> tensors;
  for (int i = 0; i < 25; ++i) tensors.push_back(f32_tensor("old." + std::to_string(i), {1}, {0}));
  WeightLoader loader = load(tensors);
  for (int i = 0; i < 22; ++i) loader.root().take("new.layer." + std::to_string(i), {1});
  expect_error(
      ErrorKind::kCorruptFile,
      {"missing (22)", "and 2 more", "left over (25)", "and 5 more", "another model or layout"},
      [&] { loader.finish(); });
}

TEST_F(WeightLoading, NamesFromTheFileArePrintedSafely) {
  WeightLoader loader = load({{"\\u001b[2J", "U8", {1}, "x"}});
  loader.root().take("\x1b[2J", {1});
  loader.root().take("\x1b[3J", {1});
  expect_error(ErrorKind::kCorruptFile, {"\\x1b[2J must be f32", "\\x1b[3J [1]"},
               [&] { loader.finish(); });
}

TEST_F(WeightLoading, NeedsASource) {
  expect_error(ErrorKind::kInvalidArgument, {"vae", "must have a source"},
               [] { WeightLoader loader("vae", nullptr, Device::kCpu); });
}

}  // namespace
}  // namespace tintype
