#include "samplers/diffusion/noise_schedule.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "samplers/diffusion/sigmas.h"

namespace tintype {
namespace {

NoiseScheduleConfig parsed(const std::string& text) {
  const Json json = parse_json(text, "scheduler_config.json");
  return NoiseScheduleConfig::from_json(JsonObject(json, "scheduler_config.json"));
}

void expect_refused(const std::string& text, ErrorKind kind, const std::string& mention) {
  try {
    parsed(text);
    ADD_FAILURE() << "accepted " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(mention), std::string::npos) << error.what();
  }
}

/// A file in the test's temporary folder, removed at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_(std::filesystem::path(testing::TempDir()) / "noise_schedule_test.json") {
    std::ofstream(path_) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(NoiseSchedule, AlphasCumprodMatchTorch) {
  const Json fixture = read_json_file(TT_FIXTURES "/samplers/schedules.json");
  for (const Json& expected : fixture.at("schedules")) {
    const Json& keys = expected.at("config");
    SCOPED_TRACE(keys.dump());
    const std::vector<float> table =
        alphas_cumprod(NoiseScheduleConfig::from_json(JsonObject(keys, "schedules")), {});
    // torch takes the root of a whole table from MKL, up to an ulp off; the quotients of the
    // rescaling and the product of a thousand add up to a few.
    const bool exact = keys.value("beta_schedule", "") != "squaredcos_cap_v2" &&
                       !keys.contains("rescale_betas_zero_snr");
    for (size_t k = 0; k < expected.at("positions").size(); ++k) {
      const auto position = expected.at("positions")[k].get<size_t>();
      ASSERT_LT(position, table.size());
      const auto actual = std::bit_cast<int32_t>(table[position]);
      const auto bits = expected.at("bits")[k].get<int32_t>();
      EXPECT_LE(std::abs(actual - bits), exact ? 0 : 8) << "entry " << position;
    }
    double sum = 0;
    for (const float a : table) sum += a;
    EXPECT_NEAR(sum, expected.at("sum").get<double>(), exact ? 0 : 1e-4);
  }
}

TEST(NoiseSchedule, AbsentAndNullKeysStayOpenForTheRunningClass) {
  const NoiseScheduleConfig config =
      parsed(R"({"_class_name":"PNDMScheduler","timestep_spacing":null,"sigma_min":null})");
  EXPECT_EQ(config.class_name, "PNDMScheduler");
  EXPECT_FALSE(config.timestep_spacing);
  EXPECT_FALSE(config.steps_offset);
  EXPECT_FALSE(config.clip_sample);
  EXPECT_FALSE(config.sigma_min);
  EXPECT_EQ(config.num_train_timesteps, 1000);
  EXPECT_EQ(config.prediction_type, PredictionType::kEpsilon);
}

TEST(NoiseSchedule, RefusesWhatItDoesNotKnowAndNamesTheKey) {
  expect_refused(R"({"beta_schedule":"sigmoid"})", ErrorKind::kUnsupported, "beta_schedule");
  expect_refused(R"({"prediction_type":"flow_prediction"})", ErrorKind::kUnsupported,
                 "prediction_type");
  expect_refused(R"({"timestep_spacing":"karras"})", ErrorKind::kUnsupported, "timestep_spacing");
  expect_refused(R"({"num_train_timesteps":0})", ErrorKind::kCorruptFile, "num_train_timesteps");
  expect_refused(R"({"num_train_timesteps":1e30})", ErrorKind::kCorruptFile, "num_train_timesteps");
  expect_refused(R"({"beta_start":-0.1})", ErrorKind::kCorruptFile, "beta_start");
  expect_refused(R"({"trained_betas":[]})", ErrorKind::kCorruptFile, "trained_betas");
  expect_refused(R"({"trained_betas":[0.1,2.0]})", ErrorKind::kCorruptFile, "trained_betas");
  expect_refused(R"({"steps_offset":"one"})", ErrorKind::kCorruptFile, "steps_offset");
  expect_refused(R"({"solver_order":4})", ErrorKind::kCorruptFile, "solver_order");
}

TEST(NoiseSchedule, FileMayHoldTheInfinityThatDiffusersWrites) {
  const TemporaryFile file(
      "{\"_class_name\": \"DPMSolverMultistepScheduler\",\n"
      "  \"lambda_min_clipped\" : -Infinity,\n  \"solver_order\": 3}\n");
  const NoiseScheduleConfig config = NoiseScheduleConfig::from_file(file.path());
  EXPECT_TRUE(std::isinf(config.lambda_min_clipped));
  EXPECT_EQ(config.solver_order, 3);
}

TEST(NoiseSchedule, FileMayHoldNoOtherInfinityOrNan) {
  for (const char* text :
       {R"({"lambda_min_clipped": NaN})", R"({"beta_start": -Infinity})",
        R"({"lambda_min_clipped": Infinity})", R"({"lambda_min_clipped" -Infinity})",
        R"({"a": "\"lambda_min_clipped\": -Infinity", "b": -Infinity})", R"({"lambda_min_clipped")",
        R"({"lambda_min_clipped": )"}) {
    const TemporaryFile file(text);
    EXPECT_THROW(NoiseScheduleConfig::from_file(file.path()), Error) << text;
  }
  const TemporaryFile quoted(R"({"_class_name": "\"lambda_min_clipped\": -Infinity"})");
  EXPECT_EQ(NoiseScheduleConfig::from_file(quoted.path()).class_name,
            "\"lambda_min_clipped\": -Infinity");
}

TEST(Sigmas, TimestepsOfSpacingsAreNumpys) {
  using Times = std::vector<double>;
  EXPECT_EQ(
      spaced_timesteps(1000, {.spacing = TimestepSpacing::kLeading, .steps = 3, .steps_offset = 1}),
      (Times{667, 334, 1}));
  EXPECT_EQ(spaced_timesteps(1000, {.spacing = TimestepSpacing::kTrailing, .steps = 3}),
            (Times{999, 666, 332}));
  // 499.5 rounds to even.
  EXPECT_EQ(spaced_timesteps(1000, {.spacing = TimestepSpacing::kLinspace, .steps = 3}),
            (Times{999, 500, 0}));
  EXPECT_EQ(spaced_timesteps(1000, {.spacing = TimestepSpacing::kLinspace, .steps = 1}),
            (Times{0}));
  const Times overshoot =
      spaced_timesteps(1000, {.spacing = TimestepSpacing::kTrailing, .steps = 61});
  EXPECT_EQ(overshoot.size(), 62u);
  EXPECT_EQ(overshoot.back(), -1);
}

TEST(Sigmas, InterpolationHoldsTheEnds) {
  const std::vector<float> table = {1, 2, 4};
  EXPECT_EQ(interpolate(table, -1), 1);
  EXPECT_EQ(interpolate(table, 0.5), 1.5);
  EXPECT_EQ(interpolate(table, 1.5), 3);
  EXPECT_EQ(interpolate(table, 7), 4);
  const std::vector<float> single = {3};
  EXPECT_EQ(interpolate(single, 0.5), 3);
}

TEST(Sigmas, SigmaToTimestepInvertsTheTable) {
  const std::vector<float> sigmas =
      sigmas_of(alphas_cumprod(parsed(R"({"beta_schedule":"scaled_linear"})"), {}));
  const std::vector<float> logs = log_of(sigmas);
  // Neighbours differ by more than 1e-3 in log sigma, the float32 logarithm errs by 2e-7.
  for (const int t : {0, 1, 17, 500, 998, 999})
    EXPECT_NEAR(sigma_to_timestep(sigmas[static_cast<size_t>(t)], logs), t, 1e-3);
  EXPECT_EQ(sigma_to_timestep(0, logs), 0);
  EXPECT_EQ(sigma_to_timestep(1e6, logs), 999);
}

}  // namespace
}  // namespace tintype
