// Every run of tests/fixtures/samplers against diffusers and k-diffusion
// (tools/reference/export_samplers.py, export_samplers_more.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/json.h"
#include "ops/ops.h"
#include "samplers/diffusion/sampler.h"
#include "tensor/allocator.h"

namespace tintype {
namespace {

const Shape kShape = {2, 1, 2, 2};

/// The exporter's formula for a network.
Tensor network(const Tensor& x, float t) {
  Tensor out = empty_host(x.shape());
  for (size_t j = 0; j < x.span<float>().size(); ++j)
    out.mutable_span<float>()[j] =
        static_cast<float>(0.4 * std::tanh(static_cast<double>(x.span<float>()[j])) +
                           0.3 * std::cos(0.7 * static_cast<double>(j) + t / 250.0));
  return out;
}

Tensor start_latents(float sigma) {
  Tensor x = empty_host(kShape);
  for (size_t j = 0; j < 8; ++j)
    x.mutable_span<float>()[j] =
        static_cast<float>(1.3 * std::sin(2.1 * static_cast<double>(j) + 0.4)) * sigma;
  return x;
}

Tensor noise_draw(const Shape& shape, int draw) {
  Tensor noise = empty_host(shape);
  for (size_t j = 0; j < noise.span<float>().size(); ++j)
    noise.mutable_span<float>()[j] =
        static_cast<float>(1.2 * std::sin(1.7 * draw + 0.9 * static_cast<double>(j) + 0.2));
  return noise;
}

struct Outcome {
  std::vector<float> timesteps;
  float sigma = 0;
  int noises = 0;
  Tensor middle, end;
};

Outcome run(const NoiseScheduleConfig& config, SamplerOptions options, Device device) {
  Outcome result;
  options.step_noise = [&](const Shape& shape, float, float) {
    return noise_draw(shape, result.noises++);
  };
  const auto sampler = make_sampler(config, options);
  result.timesteps.assign(sampler->timesteps().begin(), sampler->timesteps().end());
  result.sigma = sampler->init_noise_sigma();
  Tensor x = ops::to_device(start_latents(result.sigma), device);
  const NoiseSource noise = [&](const Shape& shape) { return noise_draw(shape, result.noises++); };
  const int calls = static_cast<int>(result.timesteps.size());
  for (int i = 0; i < calls; ++i) {
    const Tensor seen = ops::to_host(sampler->scale_model_input(x, i));
    const Tensor out = network(seen, result.timesteps[static_cast<size_t>(i)]);
    x = sampler->step(ops::to_device(out, device), i, x, noise);
    if (i == calls / 2) result.middle = ops::to_host(x);
  }
  result.end = ops::to_host(x);
  return result;
}

/// 1e-5 of the largest value (a step is some ten roundings of coefficients and latents, here as
/// there; above 100 calls they add up as a random walk), and twice what one ulp in each call's
/// input, answer and result moves in the reference (the fixture's "ulp"): a long step from high
/// noise subtracts nearly equal numbers, which lifts an ulp to 1e-3.
double tolerance(const Json& expected, double ulp, size_t calls) {
  double largest = 1;
  for (const Json& value : expected) largest = std::max(largest, std::abs(value.get<double>()));
  return 1e-5 * largest * std::max(1.0, std::sqrt(static_cast<double>(calls) / 100)) + 2 * ulp;
}

double worst_excess = 0;  // of the suite: largest difference in units of the tolerance

void expect_latents(const Tensor& actual, const Json& expected, double ulp, size_t calls) {
  const double allowed = tolerance(expected, ulp, calls);
  for (size_t j = 0; j < expected.size(); ++j) {
    const double difference =
        std::abs(static_cast<double>(actual.span<float>()[j]) - expected[j].get<double>());
    worst_excess = std::max(worst_excess, difference / allowed);
    EXPECT_LE(difference, allowed)
        << "value " << j << " is " << actual.span<float>()[j] << ", reference " << expected[j];
  }
}

void expect_timesteps(const std::vector<float>& actual, const Json& expected) {
  ASSERT_EQ(actual.size(), expected.at("calls").get<size_t>());
  double sum = 0;
  for (const float t : actual) sum += t;
  EXPECT_NEAR(sum, expected.at("time_sum").get<double>(),
              1e-4 * static_cast<double>(actual.size()));
  const Json& times = expected.at("times");
  for (size_t k = 0; k < times.size(); ++k) {
    // Whole timesteps must be exact; fractional ones go through a float32 logarithm.
    const size_t from_end = times.size() - k;
    const float t =
        actual.size() == times.size() || k < 4 ? actual[k] : actual[actual.size() - from_end];
    EXPECT_NEAR(t, times[k].get<double>(), 2e-4) << "timestep " << k;
  }
}

void check_case(const NoiseScheduleConfig& config, const Json& expected, Device device) {
  const SamplerOptions options{.name = expected.at("sampler").get<std::string>(),
                               .scheduler = expected.value("scheduler", ""),
                               .steps = expected.at("steps").get<int>(),
                               .sdxl = expected.value("sdxl", false),
                               // What the reference's step() takes when told nothing.
                               .eta = expected.at("sampler") == "tcd" ? 0.3 : 0.0};
  if (expected.contains("error")) {
    EXPECT_THROW(make_sampler(config, options), Error) << "reference: " << expected.at("error");
    return;
  }
  const Outcome actual = run(config, options, device);
  expect_timesteps(actual.timesteps, expected);
  EXPECT_NEAR(actual.sigma / expected.at("sigma").get<double>(), 1, 1e-6);
  EXPECT_EQ(actual.noises, expected.at("noises").get<int>());
  const double ulp = expected.at("ulp").get<double>();
  expect_latents(actual.middle, expected.at("middle"), ulp, actual.timesteps.size());
  expect_latents(actual.end, expected.at("end"), ulp, actual.timesteps.size());
}

class SamplerReference : public testing::TestWithParam<const char*> {};

TEST_P(SamplerReference, TimestepsSigmasAndLatentsMatchDiffusers) {
  const Json fixture =
      read_json_file(std::string(TT_FIXTURES) + "/samplers/" + GetParam() + ".json");
  ASSERT_GE(fixture.at("cases").size(), 70u);
  for (const Json& expected : fixture.at("cases")) {
    const Json& keys = fixture.at("configs")[expected.at("config").get<size_t>()];
    SCOPED_TRACE(cat(keys.dump(), " sampler ", expected.at("sampler"), " steps ",
                     expected.at("steps"), " ", expected.value("scheduler", "")));
    check_case(NoiseScheduleConfig::from_json(JsonObject(keys, GetParam())), expected,
               Device::kCpu);
  }
  RecordProperty("worst_excess", cat(worst_excess));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, SamplerReference,
                         testing::Values("ddim", "euler", "euler_a", "pndm", "dpmpp_2m",
                                         "euler_karras", "dpmpp_2m_karras", "step_counts",
                                         "variants", "more_ddpm", "more_lms", "more_heun",
                                         "more_dpm2", "more_dpm2_a", "more_dpmpp_2m_sde",
                                         "more_dpmpp_sde", "more_unipc", "more_deis", "more_lcm",
                                         "more_tcd", "more_sigma_runs", "more_spacings"),
                         [](const auto& fixture) { return std::string(fixture.param); });

TEST(SamplerRuns, MatchDiffusersOnTheReferenceDeviceToo) {
  const Json fixture = read_json_file(TT_FIXTURES "/samplers/variants.json");
  int checked = 0;
  for (const Json& expected : fixture.at("cases")) {
    const Json& keys = fixture.at("configs")[expected.at("config").get<size_t>()];
    SCOPED_TRACE(keys.dump());
    check_case(NoiseScheduleConfig::from_json(JsonObject(keys, "variants")), expected,
               Device::kReference);
    ++checked;
  }
  EXPECT_GE(checked, 200);
}

TEST(SamplerRuns, AreEqualBitForBitTheSecondTime) {
  NoiseScheduleConfig config;
  for (const std::string& name : diffusion_sampler_names()) {
    const Outcome first = run(config, {.name = name, .steps = 9}, Device::kCpu);
    const Outcome second = run(config, {.name = name, .steps = 9}, Device::kCpu);
    EXPECT_TRUE(std::ranges::equal(first.end.span<float>(), second.end.span<float>())) << name;
  }
}

}  // namespace
}  // namespace tintype
