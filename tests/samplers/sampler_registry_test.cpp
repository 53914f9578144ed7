#include <gtest/gtest.h>

#include <algorithm>

#include "base/json.h"
#include "samplers/diffusion/sampler.h"

namespace tintype {
namespace {

/// The message of the error that building this sampler gives; "" when it gives none.
std::string refusal(const NoiseScheduleConfig& config, const SamplerOptions& options,
                    ErrorKind kind) {
  try {
    make_sampler(config, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "";
}

bool mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(SamplerRegistry, EveryNameBuildsAndEveryClassNamesIt) {
  EXPECT_EQ(diffusion_sampler_names(),
            (std::vector<std::string>{"ddim", "euler", "euler_a", "pndm", "dpmpp_2m"}));
  for (const std::string& name : diffusion_sampler_names())
    EXPECT_FALSE(make_sampler({}, {.name = name, .steps = 7})->timesteps().empty()) << name;
  EXPECT_EQ(sampler_for_class("DDIMScheduler"), "ddim");
  EXPECT_EQ(sampler_for_class("EulerDiscreteScheduler"), "euler");
  EXPECT_EQ(sampler_for_class("EulerAncestralDiscreteScheduler"), "euler_a");
  EXPECT_EQ(sampler_for_class("PNDMScheduler"), "pndm");
  EXPECT_EQ(sampler_for_class("DPMSolverMultistepScheduler"), "dpmpp_2m");
}

TEST(SamplerRegistry, UnknownNamesProposeTheNearest) {
  const std::string message =
      refusal({}, {.name = "eular_a", .steps = 7}, ErrorKind::kInvalidArgument);
  EXPECT_TRUE(mentions(message, "eular_a")) << message;
  EXPECT_TRUE(mentions(message, "did you mean euler_a?")) << message;
  const std::string scheduler =
      refusal({}, {.name = "euler", .scheduler = "karas", .steps = 7}, ErrorKind::kInvalidArgument);
  EXPECT_TRUE(mentions(scheduler, "did you mean karras?")) << scheduler;
}

TEST(SamplerRegistry, KarrasGoesWithTheSamplersThatHaveIt) {
  for (const std::string& name : diffusion_sampler_names()) {
    const std::string message =
        refusal({}, {.name = name, .scheduler = "karras", .steps = 7}, ErrorKind::kInvalidArgument);
    EXPECT_EQ(message.empty(), name == "euler" || name == "dpmpp_2m") << name;
    EXPECT_TRUE(message.empty() || mentions(message, "euler, dpmpp_2m")) << message;
  }
}

TEST(SamplerRegistry, StepsOutsideTheTableAreRefused) {
  for (const std::string& name : diffusion_sampler_names())
    for (const int steps : {0, -1, 1001})
      EXPECT_TRUE(mentions(refusal({}, {.name = name, .steps = steps}, ErrorKind::kInvalidArgument),
                           "1..1000"))
          << name << " " << steps;
  NoiseScheduleConfig offset;
  offset.steps_offset = 1;
  EXPECT_TRUE(
      mentions(refusal(offset, {.name = "ddim", .steps = 1000}, ErrorKind::kInvalidArgument),
               "steps_offset"));
}

TEST(SamplerRegistry, UnknownClassesAreNamedWithTheList) {
  try {
    sampler_for_class("FlowMatchEulerDiscreteScheduler");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_TRUE(mentions(error.what(), "FlowMatchEulerDiscreteScheduler")) << error.what();
    EXPECT_TRUE(mentions(error.what(), "PNDMScheduler")) << error.what();
  }
}

TEST(SamplerRegistry, KeysThatNobodyImplementsAreRefusedOnlyWhereTheyAreRead) {
  struct Case {
    const char* text;
    std::vector<std::string> readers;
  };
  const Case cases[] = {{R"({"use_exponential_sigmas":true})", {"euler", "dpmpp_2m"}},
                        {R"({"use_beta_sigmas":true})", {"euler", "dpmpp_2m"}},
                        {R"({"final_sigmas_type":"one"})", {"euler", "dpmpp_2m"}},
                        {R"({"interpolation_type":"cubic"})", {"euler"}},
                        {R"({"timestep_type":"odd"})", {"euler"}},
                        {R"({"use_lu_lambdas":true})", {"dpmpp_2m"}},
                        {R"({"use_flow_sigmas":true})", {"dpmpp_2m"}},
                        {R"({"variance_type":"learned"})", {"dpmpp_2m"}},
                        {R"({"algorithm_type":"magic"})", {"dpmpp_2m"}},
                        {R"({"solver_type":"magic"})", {"dpmpp_2m"}},
                        {R"({"prediction_type":"sample"})", {"euler_a", "pndm"}}};
  for (const Case& c : cases) {
    const Json json = parse_json(c.text, "test");
    const NoiseScheduleConfig config = NoiseScheduleConfig::from_json(JsonObject(json, "test"));
    for (const std::string& name : diffusion_sampler_names()) {
      const bool reads = std::count(c.readers.begin(), c.readers.end(), name) > 0;
      const std::string message =
          refusal(config, {.name = name, .steps = 5}, ErrorKind::kUnsupported);
      EXPECT_EQ(!message.empty(), reads) << name << " " << c.text << " " << message;
    }
  }
}

TEST(SamplerRegistry, EpsilonFromPureNoiseIsRefusedUnlessClipped) {
  NoiseScheduleConfig config;
  config.rescale_betas_zero_snr = true;
  config.timestep_spacing = TimestepSpacing::kTrailing;
  config.clip_sample = false;
  const SamplerOptions ddim{.name = "ddim", .steps = 10};
  EXPECT_TRUE(mentions(refusal(config, ddim, ErrorKind::kUnsupported), "epsilon"));
  config.prediction_type = PredictionType::kVPrediction;
  EXPECT_EQ(refusal(config, ddim, ErrorKind::kUnsupported), "");
  config.prediction_type = PredictionType::kEpsilon;
  config.clip_sample = true;
  EXPECT_EQ(refusal(config, ddim, ErrorKind::kUnsupported), "");
}

TEST(SamplerRegistry, StableDiffusionPipelineForcesOffsetAndClipping) {
  NoiseScheduleConfig file;
  file.class_name = "DDIMScheduler";
  // Absent from the file: corrected for the file's own class, left to any other's defaults.
  EXPECT_EQ(stable_diffusion_config(file, "ddim").steps_offset, 1);
  EXPECT_EQ(stable_diffusion_config(file, "ddim").clip_sample, false);
  EXPECT_FALSE(stable_diffusion_config(file, "euler").steps_offset);
  EXPECT_FALSE(stable_diffusion_config(file, "euler").clip_sample);
  // Present: corrected for all.
  file.steps_offset = 0;
  file.clip_sample = true;
  EXPECT_EQ(stable_diffusion_config(file, "pndm").steps_offset, 1);
  EXPECT_EQ(stable_diffusion_config(file, "pndm").clip_sample, false);
}

}  // namespace
}  // namespace tintype
