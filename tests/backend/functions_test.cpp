// The vector functions over their whole range, against the standard library in double: the case
// table of the ops sees only a small interval.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/cpu/rowwise.h"

namespace tintype::cpu {
namespace {

double exact(double x, Activation kind) {
  switch (kind) {
    case Activation::kNone:
      return x;
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kQuickGelu:
      return x / (1.0 + std::exp(-1.702 * x));
    case Activation::kLeakyRelu:
      return x > 0 ? x : 0.2 * x;
  }
  return 0;
}

TEST(Functions, ActivationsAreAccurateOverTheirWholeRange) {
  std::vector<float> x, y;
  for (double v = -120.0; v <= 120.0; v += 0.00137) x.push_back(static_cast<float>(v));
  y.resize(x.size());
  for (const Activation kind :
       {Activation::kSilu, Activation::kGelu, Activation::kQuickGelu, Activation::kLeakyRelu}) {
    activate(x.data(), static_cast<int64_t>(x.size()), kind, y.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = exact(x[i], kind);
      // Relative to the input: 1 + erf(x) cancels for negative x, in the reference's f32 as well.
      const double allowed = 3e-7 * std::max(std::fabs(expected), std::fabs(x[i] * 0.5)) + 1e-30;
      ASSERT_NEAR(y[i], expected, allowed) << to_string(kind) << "(" << x[i] << ")";
    }
  }
}

TEST(Functions, ActivationsKeepInfinitiesAndNan) {
  const float inf = std::numeric_limits<float>::infinity();
  const float x[] = {inf, 1e30f, -1e30f, std::nanf("")};
  float y[4];
  activate(x, 4, Activation::kSilu, y);
  EXPECT_EQ(y[0], inf);
  EXPECT_EQ(y[1], 1e30f);
  EXPECT_NEAR(y[2], 0.0f, 1e-6f);
  EXPECT_TRUE(std::isnan(y[3]));
}

}  // namespace
}  // namespace tintype::cpu
