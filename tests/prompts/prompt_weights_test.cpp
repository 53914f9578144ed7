#include "prompts/prompt_weights.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/expect_error.h"
#include "base/json.h"
#include "ops/ops.h"
#include "tensor/allocator.h"

namespace tintype {
namespace {

Tensor tensor_of(const Json& values, const Shape& shape) {
  return host_tensor(shape, std::span<const float>(values.get<std::vector<float>>()));
}

/// Few f32 roundings of numbers near 1, so a few units in the last place.
void expect_near(const Tensor& got, const Json& expected) {
  const auto values = expected.get<std::vector<double>>();
  ASSERT_EQ(static_cast<size_t>(got.numel()), values.size());
  for (size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(got.span<float>()[i], values[i], 1e-6 * (1 + std::abs(values[i]))) << i;
}

TEST(PromptWeights, EqualTheFixtures) {
  const Json fixture = read_json_file(TT_FIXTURES "/prompts/weights.json");
  EXPECT_EQ(fixture.at("cases").size(), 3u);
  for (const Json& c : fixture.at("cases")) {
    const auto dims = c.at("shape").get<std::vector<int64_t>>();
    const Shape shape{std::span<const int64_t>(dims)};
    const Tensor features = tensor_of(c.at("features"), shape);
    const Tensor empty = tensor_of(c.at("empty"), shape.with(0, 1));
    const auto weights = c.at("weights").get<std::vector<float>>();
    expect_near(apply_prompt_weights(features, weights, WeightRule::kMeanRestore),
                c.at("mean_restore"));
    expect_near(apply_prompt_weights(features, weights, WeightRule::kAwayFromEmpty, empty),
                c.at("away_from_empty"));
    expect_near(features, c.at("features"));  // the argument is left alone
  }
}

TEST(PromptWeights, AllOneChangesNothing) {
  const Tensor features = empty_host({1, 2, 3});
  const std::vector<float> ones(2, 1.0f);
  for (const WeightRule rule : {WeightRule::kMeanRestore, WeightRule::kAwayFromEmpty})
    EXPECT_EQ(apply_prompt_weights(features, ones, rule).bytes(), features.bytes());
}

TEST(PromptWeights, AMeanThatCannotBeRestoredIsLeft) {
  const std::vector<float> values = {1, -1, 2, 2}, weights = {2, 0};
  const Tensor features = host_tensor({1, 2, 2}, std::span<const float>(values));
  const Tensor got = apply_prompt_weights(features, weights, WeightRule::kMeanRestore);
  const auto out = got.span<float>();
  EXPECT_EQ(std::vector<float>(out.begin(), out.end()), (std::vector<float>{2, -2, 0, 0}));
}

TEST(PromptWeights, EachWindowKeepsItsOwnMean) {
  std::vector<float> values(24);
  std::iota(values.begin(), values.end(), 1.0f);
  const std::vector<float> weights = {1, 2, 0.5f, 1, 1, 1};
  const Tensor features = host_tensor({2, 3, 4}, std::span<const float>(values));
  const Tensor got = apply_prompt_weights(features, weights, WeightRule::kMeanRestore);
  for (size_t w = 0; w < 2; ++w) {
    const auto row = got.span<float>().subspan(w * 12, 12);
    const auto old = features.span<float>().subspan(w * 12, 12);
    EXPECT_NEAR(std::accumulate(row.begin(), row.end(), 0.0),
                std::accumulate(old.begin(), old.end(), 0.0), 1e-4);
  }
  // The second window has no weights and stays bit for bit.
  for (size_t i = 12; i < 24; ++i) EXPECT_EQ(got.span<float>()[i], values[i]);
}

TEST(PromptWeights, ReturnToTheDeviceTheyCameFrom) {
  const std::vector<float> values = {1, 2, 3, 4}, weights = {1, 3};
  const Tensor host = host_tensor({1, 2, 2}, std::span<const float>(values));
  for (const Device device : {Device::kCpu, Device::kReference}) {
    const Tensor got =
        apply_prompt_weights(ops::to_device(host, device), weights, WeightRule::kMeanRestore);
    EXPECT_EQ(got.device(), device);
    EXPECT_FLOAT_EQ(ops::to_host(got).span<float>()[2], 9 * 10.0f / 24);
  }
  const Tensor meta = ops::empty({1, 2, 2}, DType::kF32, Device::kMeta);
  EXPECT_EQ(apply_prompt_weights(meta, weights, WeightRule::kMeanRestore).shape(), meta.shape());
}

TEST(PromptWeights, WindowsJoinAlongTheTokens) {
  const Tensor features = empty_host({3, 77, 8});
  const Tensor joined = join_windows(features);
  EXPECT_EQ(joined.shape(), (Shape{1, 231, 8}));
  EXPECT_EQ(joined.bytes(), features.bytes());
}

TEST(PromptWeights, ShapesAreChecked) {
  const Tensor features = empty_host({1, 2, 3});
  const std::vector<float> two = {1, 2}, three = {1, 2, 3};
  testing::expect_error(ErrorKind::kInvalidArgument, {"1 x 2", "got 3"},
                        [&] { apply_prompt_weights(features, three, WeightRule::kMeanRestore); });
  testing::expect_error(ErrorKind::kInvalidArgument, {"empty window", "none"},
                        [&] { apply_prompt_weights(features, two, WeightRule::kAwayFromEmpty); });
  testing::expect_error(ErrorKind::kInvalidArgument, {"[W,S,E]"}, [&] {
    apply_prompt_weights(empty_host({2, 3}), two, WeightRule::kMeanRestore);
  });
  testing::expect_error(ErrorKind::kInvalidArgument, {"[W,S,E]"}, [&] {
    join_windows(empty_host({2, 3}));
  });
}

}  // namespace
}  // namespace tintype
