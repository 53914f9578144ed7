#include "samplers/diffusion/brownian_path.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/philox_rng.h"
#include "ops/ops.h"
#include "samplers/diffusion/schedules.h"
#include "tensor/allocator.h"

namespace tintype {
namespace {

constexpr size_t kMany = 20000;

double correlation_sum(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t j = 0; j < a.size(); ++j) sum += a[j] * b[j];
  return sum / static_cast<double>(a.size());
}

Tensor draw(const Shape& shape, uint64_t seed) {
  Tensor noise = empty_host(shape);
  PhiloxRng(seed).randn(noise.mutable_span<float>());
  return noise;
}

TEST(BrownianPath, CovarianceIsTheSmallerTime) {
  const BrownianPath path({7}, 16);
  const double times[] = {0.03, 1.7, 9.0, 16.0};
  for (const double s : times)
    for (const double t : times)
      // Standard error of the mean of products: sqrt(2) max(s, t) / sqrt(n).
      EXPECT_NEAR(correlation_sum(path.at(s, kMany), path.at(t, kMany)), std::min(s, t),
                  6 * std::max(s, t) / std::sqrt(double{kMany}));
  for (const double value : path.at(0, 100)) EXPECT_EQ(value, 0);
}

TEST(BrownianPath, IncrementsAddUpWhateverTheStepsAndTheirOrder) {
  const Shape shape{1, 5, 3, 4};
  BrownianPath coarse({11}, 16), fine({11}, 16), backwards({11}, 16);
  const double ends[] = {14.6, 8, 3, 0.7, 0.02};
  std::vector<double> sum(60, 0.0), reversed(60, 0.0);
  for (size_t k = 0; k < 4; ++k) {
    const Tensor noise = fine.between(shape, ends[k], ends[k + 1]);
    const Tensor other = backwards.between(shape, ends[3 - k], ends[4 - k]);
    for (size_t j = 0; j < 60; ++j) {
      sum[j] += noise.span<float>()[j] * std::sqrt(ends[k] - ends[k + 1]);
      reversed[j] += other.span<float>()[j] * std::sqrt(ends[3 - k] - ends[4 - k]);
    }
  }
  const Tensor whole = coarse.between(shape, 14.6, 0.02);
  for (size_t j = 0; j < 60; ++j) {
    const double expected = whole.span<float>()[j] * std::sqrt(14.58);
    EXPECT_NEAR(sum[j], expected, 1e-5);
    EXPECT_NEAR(reversed[j], expected, 1e-5);
  }
}

TEST(BrownianPath, AnImageInABatchMovesAsItDoesAlone) {
  const Shape one{1, 2, 2, 4}, two{2, 2, 2, 4};
  const Tensor first = draw(one, 1), second = draw(one, 2);
  const Tensor both = ops::concat_first(first, second);
  const std::vector<uint64_t> keys = image_keys(both);
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_NE(keys[0], keys[1]);
  EXPECT_EQ(keys[1], image_keys(second).front());
  const Tensor batch = BrownianPath(keys, 16).between(two, 5, 4);
  const Tensor alone = BrownianPath(image_keys(second), 16).between(one, 5, 4);
  EXPECT_TRUE(std::ranges::equal(batch.span<float>().subspan(16), alone.span<float>()));
}

TEST(BrownianPath, SolversDrawFromTheStreamOnceWhateverTheirSteps) {
  for (const char* name : {"dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde"})
    for (const int steps : {1, 4, 9}) {
      const auto sampler = make_sampler({}, {.name = name, .steps = steps});
      int draws = 0;
      const NoiseSource stream = [&](const Shape& shape) { return draw(shape, 40 + draws++); };
      Tensor x = draw({1, 2, 2, 4}, 3);
      for (size_t i = 0; i < sampler->timesteps().size(); ++i)
        x = sampler->step(x, static_cast<int>(i), x, stream);
      EXPECT_LE(draws, 1) << name;
      for (const float value : x.span<float>()) EXPECT_TRUE(std::isfinite(value)) << name;
    }
}

TEST(Schedules, BetaQuantilesAreTheDistributions) {
  // scipy.stats.beta.ppf(p, 0.6, 0.6)
  const double known[][2] = {{0.0001, 3.998377158137721e-07}, {0.01, 0.0008612388215429059},
                             {0.1, 0.03958440558878085},      {0.25, 0.17568037865269498},
                             {0.5, 0.5000000000000001},       {0.7, 0.7659829961247643},
                             {0.95, 0.9874455431263885},      {0.999, 0.9999814412614826}};
  for (const auto& [p, x] : known) EXPECT_NEAR(beta_quantile(p), x, 1e-12 + 1e-11 * x) << p;
  EXPECT_EQ(beta_quantile(0), 0);
  EXPECT_EQ(beta_quantile(1), 1);
}

TEST(Schedules, AysTablesAreThePublishedOnesAtTenSteps) {
  const std::vector<double> sd = ays_sigmas(10, false), xl = ays_sigmas(10, true);
  ASSERT_EQ(sd.size(), 10u);
  EXPECT_NEAR(sd[1], 6.4745760956, 1e-9);
  EXPECT_NEAR(sd[9], 0.1515232662, 1e-9);
  EXPECT_NEAR(xl[1], 6.3184485287, 1e-9);
  EXPECT_NEAR(xl[9], 0.1114188177, 1e-9);
  EXPECT_NEAR(ays_sigmas(20, true)[2], 6.3184485287, 1e-9);
}

}  // namespace
}  // namespace tintype
