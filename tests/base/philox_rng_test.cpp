#include "base/philox_rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/json.h"

namespace tintype {
namespace {

TEST(PhiloxRng, WordsAreThoseOfThePaper) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, 0),
            (PhiloxCounter{0x6627E8D5u, 0xE169C58Du, 0xBC57AC4Cu, 0x9B00DBD8u}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, ~uint64_t{0}),
            (PhiloxCounter{0x408F276Du, 0x41C83B0Eu, 0xA20BC7C6u, 0x6D5451FDu}));
  EXPECT_EQ(philox4x32({0x243F6A88u, 0x85A308D3u, 0x13198A2Eu, 0x03707344u}, 0x299F31D0A4093822u),
            (PhiloxCounter{0xD16CFE09u, 0x94FDCCEBu, 0x5001E420u, 0x24126EA1u}));
}

TEST(PhiloxRng, SeedZeroStartsAsTorchOnTheGpu) {
  std::vector<float> values(4);
  PhiloxRng(0).randn(values);
  const float expected[] = {-0.9247f, -0.4253f, -2.6438f, 0.1452f};
  for (size_t j = 0; j < 4; ++j) EXPECT_NEAR(values[j], expected[j], 5e-5) << j;
}

TEST(PhiloxRng, StreamsEqualTheWebUi) {
  const Json fixture = read_json_file(TT_FIXTURES "/samplers/philox.json");
  size_t checked = 0;
  for (const Json& stream : fixture.at("streams")) {
    PhiloxRng rng(std::stoull(stream.at("seed").get<std::string>()));
    for (const Json& draw : stream.at("draws")) {
      std::vector<float> values(draw.size());
      rng.randn(values);
      // Double arithmetic rounded once: libraries' sine and logarithm may differ in the last bit.
      for (size_t j = 0; j < values.size(); ++j, ++checked)
        EXPECT_NEAR(values[j], draw[j].get<float>(), 2.5e-7f * std::abs(values[j]) + 1e-9f);
    }
  }
  EXPECT_EQ(checked, 6u * 24u);
}

TEST(PhiloxRng, ALongerDrawStartsWithTheShorterOne) {
  std::vector<float> few(5), many(64);
  PhiloxRng(7).randn(few);
  PhiloxRng(7).randn(many);
  for (size_t j = 0; j < few.size(); ++j) EXPECT_EQ(few[j], many[j]);
}

TEST(PhiloxRng, NumbersAreStandardNormal) {
  std::vector<float> values(200000);
  PhiloxRng(3).randn(values);
  double sum = 0, squares = 0;
  for (const float v : values) {
    ASSERT_TRUE(std::isfinite(v));
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  const double count = static_cast<double>(values.size());
  EXPECT_NEAR(sum / count, 0, 5 / std::sqrt(count));
  EXPECT_NEAR(squares / count, 1, 5 * std::sqrt(2 / count));
}

}  // namespace
}  // namespace tintype
