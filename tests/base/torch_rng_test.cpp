#include "base/torch_rng.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"

namespace tintype {
namespace {

std::string fnv1a(const std::vector<float>& values) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const float value : values)
    for (int shift = 0; shift < 32; shift += 8)
      hash = (hash ^ ((std::bit_cast<uint32_t>(value) >> shift) & 0xFFu)) * 0x100000001B3u;
  std::ostringstream text;
  text << std::hex;
  text.width(16);
  text.fill('0');
  text << hash;
  return text.str();
}

std::vector<float> draw(TorchRng& rng, size_t count) {
  std::vector<float> values(count);
  rng.randn(values);
  return values;
}

TEST(TorchRng, EveryBitEqualsTorchForAllSeedsSizesAndMixedCalls) {
  const Json fixture = read_json_file(TT_FIXTURES "/rng/randn.json");
  size_t checked = 0;
  for (const Json& stream : fixture.at("streams")) {
    const std::string seed = stream.at("seed").get<std::string>();
    TorchRng rng(std::stoull(seed));
    for (const Json& expected : stream.at("draws")) {
      const std::vector<float> values = draw(rng, expected.at("size").get<size_t>());
      const size_t stored = expected.contains("bits") ? values.size() : 0;
      for (size_t i = 0; i < stored; ++i) {
        ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), expected.at("bits")[i].get<uint32_t>())
            << "seed " << seed << ", size " << values.size() << ", number " << i;
      }
      ASSERT_EQ(fnv1a(values), expected.at("hash").get<std::string>())
          << "seed " << seed << ", size " << values.size();
      ++checked;
    }
  }
  EXPECT_GE(checked, 160u);
}

TEST(TorchRng, SeedsEqualModuloTwoToThe32DrawTheSameNumbers) {
  TorchRng low(5), high((uint64_t{1} << 32) + 5), other(6);
  const std::vector<float> expected = draw(low, 64);
  EXPECT_EQ(draw(high, 64), expected);
  EXPECT_NE(draw(other, 64), expected);
}

TEST(TorchRng, DrawingNothingLeavesTheStreamAlone) {
  TorchRng rng(3), same(3);
  draw(rng, 1);
  draw(rng, 0);
  draw(same, 1);
  EXPECT_EQ(draw(rng, 20), draw(same, 20));
}

TEST(TorchRng, MomentsAreThoseOfTheStandardNormal) {
  TorchRng rng(11);
  const std::vector<float> values = draw(rng, 1 << 20);
  double sum = 0, squares = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  const double n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));  // five standard errors
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2.0) / std::sqrt(n));
}

}  // namespace
}  // namespace tintype
