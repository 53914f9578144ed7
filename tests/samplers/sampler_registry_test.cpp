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
  EXPECT_EQ(
      diffusion_sampler_names(),
      (std::vector<std::string>{"ddim", "ddpm", "pndm", "lms", "euler", "euler_a", "heun", "dpm2",
                                "dpm2_a", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "dpmpp_sde",
                                "dpmpp_2s_a", "unipc", "deis", "lcm", "tcd", "restart"}));
  for (const std::string& name : diffusion_sampler_names())
    EXPECT_FALSE(make_sampler({}, {.name = name, .steps = 7})->timesteps().empty()) << name;
  EXPECT_EQ(sampler_for_class("DDIMScheduler"), "ddim");
  EXPECT_EQ(sampler_for_class("EulerDiscreteScheduler"), "euler");
  EXPECT_EQ(sampler_for_class("EulerAncestralDiscreteScheduler"), "euler_a");
  EXPECT_EQ(sampler_for_class("PNDMScheduler"), "pndm");
  EXPECT_EQ(sampler_for_class("DPMSolverMultistepScheduler"), "dpmpp_2m");
  for (const SamplerInfo& entry : diffusion_samplers())
    if (!entry.class_name.empty() && entry.name != "dpmpp_2m_sde") {
      EXPECT_EQ(sampler_for_class(entry.class_name), entry.name);
    }
  EXPECT_FALSE(has_sampler_for_class(""));
}

TEST(SamplerRegistry, NamesOfTheThreeProgramsMeanTheSame) {
  const std::pair<const char*, const char*> names[] = {{"DPM++ 2M SDE", "dpmpp_2m_sde"},
                                                       {"dpmpp_2m_sde_gpu", "dpmpp_2m_sde"},
                                                       {"DPM++ 2M", "dpmpp_2m"},
                                                       {"DPMSolverMultistepScheduler", "dpmpp_2m"},
                                                       {"Euler a", "euler_a"},
                                                       {"EULER_ANCESTRAL", "euler_a"},
                                                       {"PLMS", "pndm"},
                                                       {"dpm_2_ancestral", "dpm2_a"},
                                                       {"DPM++ 2S a", "dpmpp_2s_a"},
                                                       {"uni_pc", "unipc"},
                                                       {"unipcmultistepscheduler", "unipc"},
                                                       {"DPM++ SDE", "dpmpp_sde"},
                                                       {"heun", "heun"},
                                                       {"dpm++ 3m sde", "dpmpp_3m_sde"}};
  for (const auto& [name, canonical] : names) {
    EXPECT_EQ(canonical_sampler(name), canonical) << name;
    EXPECT_FALSE(make_sampler({}, {.name = name, .steps = 7})->timesteps().empty()) << name;
  }
  EXPECT_EQ(canonical_scheduler("SGM Uniform"), "sgm_uniform");
  EXPECT_EQ(canonical_scheduler("Align Your Steps"), "ays");
  EXPECT_EQ(canonical_scheduler("KARRAS"), "karras");
  EXPECT_EQ(canonical_scheduler("Automatic"), "");
  // Every name that the lists show leads back to its line.
  for (const SamplerInfo& entry : diffusion_samplers()) {
    EXPECT_EQ(canonical_sampler(entry.label), entry.name);
    for (const std::string_view alias : entry.aliases)
      EXPECT_EQ(canonical_sampler(alias), entry.name) << alias;
  }
  for (const SamplerInfo& entry : diffusion_schedulers()) {
    EXPECT_EQ(canonical_scheduler(entry.label), entry.name);
    for (const std::string_view alias : entry.aliases)
      EXPECT_EQ(canonical_scheduler(alias), entry.name) << alias;
  }
}

TEST(SamplerRegistry, CombinedNamesSplitIntoSamplerAndScheduler) {
  struct Case {
    const char *name, *sampler, *scheduler;
  };
  for (const Case& c : {Case{"DPM++ 2M Karras", "dpmpp_2m", "karras"},
                        {"DPM++ 2M SDE Karras", "dpmpp_2m_sde", "karras"},
                        {"DPM++ 2M SDE Exponential", "dpmpp_2m_sde", "exponential"},
                        {"DPM++ 3M SDE Polyexponential", "dpmpp_3m_sde", "polyexponential"},
                        {"DPM++ SDE Karras", "dpmpp_sde", "karras"},
                        {"DPM++ 2S a Karras", "dpmpp_2s_a", "karras"},
                        {"DPM2 a Karras", "dpm2_a", "karras"},
                        {"LMS Karras", "lms", "karras"},
                        {"k_dpmpp_2m_ka", "dpmpp_2m", "karras"},
                        {"k_lms_ka", "lms", "karras"},
                        {"dpmpp_2m_sgm_uniform", "dpmpp_2m", "sgm_uniform"},
                        {"Euler a Align Your Steps", "euler_a", "ays"},
                        {"euler_beta", "euler", "beta"},
                        {"DDIM Karras", "ddim", "karras"},  // make_sampler says what it lacks
                        {"Euler a", "euler_a", ""},
                        {"DPM++ 2M SDE", "dpmpp_2m_sde", ""},
                        {"", "", ""}}) {
    const SamplerChoice choice = split_sampler_name(c.name, "");
    EXPECT_EQ(choice.sampler, c.sampler) << c.name;
    EXPECT_EQ(choice.scheduler, c.scheduler) << c.name;
  }
  // No sampler's own name reads as another with a scheduler, and every pair can be written.
  for (const SamplerInfo& sampler : diffusion_samplers())
    for (const SamplerInfo& scheduler : diffusion_schedulers()) {
      const std::string name = std::string(sampler.label) + " " + std::string(scheduler.label);
      const SamplerChoice choice = split_sampler_name(name, "");
      EXPECT_EQ(choice.sampler, sampler.name) << name;
      EXPECT_EQ(choice.scheduler, scheduler.name) << name;
    }
  EXPECT_EQ(split_sampler_name("DPM++ 2M Karras", "karras").scheduler, "karras");
  EXPECT_EQ(split_sampler_name("euler", "Automatic").scheduler, "");
}

TEST(SamplerRegistry, CombinedNamesThatContradictAreRefused) {
  const auto message_of = [](const char* sampler, const char* scheduler) -> std::string {
    try {
      split_sampler_name(sampler, scheduler);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
      return error.what();
    }
    return "";
  };
  const std::string both = message_of("DPM++ 2M Karras", "exponential");
  EXPECT_TRUE(mentions(both, "karras") && mentions(both, "\"exponential\"")) << both;
  EXPECT_TRUE(mentions(message_of("DPM++ 2M Karras", "automatic"), "karras"));
  EXPECT_TRUE(mentions(message_of("DPN++ 2M Karras", ""), "did you mean dpmpp_2m?"));
  EXPECT_TRUE(mentions(message_of("karras", ""), "sampler must be one of"));
  EXPECT_TRUE(mentions(message_of("euler_a", "DPM++"), "scheduler must be one of"));
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

TEST(SamplerRegistry, EverySchedulerGoesWithTheSamplersOfSigma) {
  for (const std::string& scheduler : diffusion_scheduler_names())
    for (const SamplerInfo& sampler : diffusion_samplers()) {
      const SamplerOptions options{
          .name = std::string(sampler.name), .scheduler = scheduler, .steps = 7};
      const std::string message = refusal({}, options, ErrorKind::kInvalidArgument);
      EXPECT_EQ(message.empty(), sampler.takes_scheduler) << sampler.name << " " << message;
      EXPECT_TRUE(message.empty() || mentions(message, "euler, euler_a")) << message;
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

TEST(SamplerRegistry, EtaGoesWithTcdAlone) {
  const auto refused = [](const char* name, double eta) {
    return refusal({}, {.name = name, .steps = 7, .eta = eta}, ErrorKind::kInvalidArgument);
  };
  EXPECT_EQ(refused("tcd", 0.3), "");
  EXPECT_TRUE(mentions(refused("tcd", 1.5), "0..1"));
  EXPECT_TRUE(mentions(refused("ddim", 0.3), "tcd"));
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
  try {
    sampler_for_class("DPMSolverSinglestepScheduler");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_TRUE(mentions(error.what(), "the nearest are dpmpp_2m")) << error.what();
  }
}

TEST(SamplerRegistry, KeysThatNobodyImplementsAreRefusedOnlyWhereTheyAreRead) {
  struct Case {
    const char* text;
    std::vector<std::string> readers;
  };
  const Case cases[] = {
      {R"({"final_sigmas_type":"one"})", {"euler", "dpmpp_2m", "dpmpp_2m_sde", "unipc"}},
      {R"({"interpolation_type":"cubic"})", {"euler"}},
      {R"({"timestep_type":"odd"})", {"euler"}},
      {R"({"use_lu_lambdas":true})", {"dpmpp_2m", "dpmpp_2m_sde"}},
      {R"({"use_flow_sigmas":true})", {"dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis"}},
      {R"({"variance_type":"learned"})", {"dpmpp_2m", "dpmpp_2m_sde", "ddpm"}},
      {R"({"algorithm_type":"magic"})", {"dpmpp_2m", "deis"}},
      {R"({"solver_type":"magic"})", {"dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis"}},
      {R"({"prediction_type":"sample"})", {"euler_a", "pndm", "dpm2", "dpm2_a", "dpmpp_sde"}}};
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
  // The inpainting pipeline's constructor corrects other keys.
  file.skip_prk_steps = false;
  EXPECT_EQ(stable_diffusion_inpaint_config(file, "pndm").steps_offset, 1);
  EXPECT_EQ(stable_diffusion_inpaint_config(file, "pndm").clip_sample, file.clip_sample);
  EXPECT_EQ(stable_diffusion_inpaint_config(file, "pndm").skip_prk_steps,
            file.class_name == "PNDMScheduler");
}

}  // namespace
}  // namespace tintype
