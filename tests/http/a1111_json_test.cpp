#include "http/a1111_json.h"

#include <gtest/gtest.h>

#include "base/expect_error.h"
#include "http/json_members.h"
#include "http/recorded_request.h"

namespace tintype::http {
namespace {

Problem problem_of(int status, std::string kind, std::string message, std::string field) {
  Problem problem;
  problem.status = status;
  problem.kind = std::move(kind);
  problem.message = std::move(message);
  problem.field = std::move(field);
  return problem;
}

using tintype::testing::expect_error;
using tintype::testing::recorded_request;

const A1111Names kNames = {.models = {"m", "other"}, .upscalers = {"R-ESRGAN 4x+"}};

Json recorded(const std::string& name) { return parse_body(recorded_request(name).body); }
A1111Request txt2img(const Json& body) { return a1111_txt2img(body, {}, kNames); }

Json shortened(Json native) {
  for (const char* name : {"image", "mask"})
    if (native.contains(name)) native[name] = native[name].get<std::string>().substr(0, 14);
  return native;
}

TEST(A1111Json, WhatTheClientSendsByItself) {
  const auto request = txt2img(recorded("a1111_txt2img_least"));
  EXPECT_EQ(request.native, Json::parse(R"({"type": "txt2img", "prompt": "a red apple",
      "negative_prompt": "", "prompt_syntax": "a1111", "rng": "philox", "width": 512,
      "height": 512, "sampler": "euler_a", "scheduler": "normal", "steps": 20,
      "guidance_scale": 7.0, "output": {"format": "png"}, "preview": {"every": 1}})"));
  EXPECT_TRUE(request.warnings.empty()) << request.warnings.front();
  EXPECT_TRUE(request.send_images);
}

TEST(A1111Json, EveryMemberIsConverted) {
  const auto request = txt2img(recorded("a1111_txt2img_all"));
  EXPECT_EQ(request.native, Json::parse(R"json({"type": "txt2img", "model": "m",
      "prompt": "(apple:1.2)", "negative_prompt": "bad", "prompt_syntax": "a1111",
      "rng": "philox", "clip_skip": 1, "seed": 7, "variation_seed": 9, "variation_strength": 0.2,
      "width": 256, "height": 320, "sampler": "dpmpp_2m", "scheduler": "Karras", "steps": 8,
      "guidance_scale": 5.0, "count": 4, "hires": {"scale": 1.5, "strength": 0.6,
      "method": "latent"}, "output": {"format": "png"}, "preview": {
    "every" : 1}
})json"));
  ASSERT_EQ(request.warnings.size(), 1u);  // the style
  EXPECT_NE(request.warnings[0].find("styles"), std::string::npos);
  EXPECT_EQ(request.parameters["cfg_scale"], 5);
}

TEST(A1111Json, PicturesAreDrawnOver) {
  const auto request = a1111_img2img(recorded("a1111_img2img"), {}, kNames);
  EXPECT_EQ(shortened(request.native), Json::parse(R"({"type": "img2img", "prompt": "p",
      "image": "data:image/png", "strength": 0.4, "resize": "crop", "negative_prompt": "",
      "prompt_syntax": "a1111", "rng": "philox", "width": 16, "height": 16, "sampler": "euler_a",
      "scheduler": "normal", "steps": 20, "guidance_scale": 7.0, "output": {"format": "png"},
      "preview": {"every": 1}})"));
  EXPECT_EQ(request.parameters["init_images"], nullptr);
  ASSERT_EQ(request.warnings.size(), 1u);  // the width of 20
  EXPECT_NE(request.warnings[0].find("16"), std::string::npos);
}

TEST(A1111Json, MasksAreDrawnAnew) {
  const auto request = a1111_img2img(recorded("a1111_inpaint"), {}, kNames);
  EXPECT_EQ(shortened(request.native)["mask"], "data:image/png");
  EXPECT_EQ(request.native["type"], "inpaint");
  EXPECT_EQ(request.native["strength"], 0.75);
  EXPECT_EQ(request.native["mask_options"], Json::parse(R"({"from": "auto", "invert": true,
      "blur": 2, "only_masked": false, "only_masked_padding": 0, "fill": "original"})"));
  Json body = recorded("a1111_inpaint");
  for (const char* name : {"mask_blur", "inpainting_fill", "inpaint_full_res",
                           "inpaint_full_res_padding", "inpainting_mask_invert"})
    body.erase(name);
  EXPECT_EQ(a1111_img2img(body, {}, kNames).native["mask_options"],
            Json::parse(R"({"from": "auto", "invert": false, "blur": 4, "only_masked": true,
                            "only_masked_padding": 0, "fill": "blur"})"));
}

TEST(A1111Json, SamplersBringTheirScheduler) {
  const auto names = [](const char* sampler, const char* scheduler) {
    Json body = {{"sampler_name", sampler}};
    if (scheduler) body["scheduler"] = scheduler;
    const Json native = txt2img(body).native;
    return native.value("sampler", "") + "/" + native.value("scheduler", "");
  };
  EXPECT_EQ(names("DPM++ 2M", nullptr), "dpmpp_2m/karras");
  EXPECT_EQ(names("DPM++ 2M SDE", "Automatic"), "dpmpp_2m_sde/exponential");
  EXPECT_EQ(names("DPM++ 2M", "SGM Uniform"), "dpmpp_2m/SGM Uniform");
  EXPECT_EQ(names("DPM++ 2M Karras", "automatic"), "DPM++ 2M Karras/");
  EXPECT_EQ(names("k_euler_a", "Karras"), "euler_a/Karras");
  EXPECT_EQ(names("DDIM", "Karras"), "ddim/");
  EXPECT_EQ(names("Nonsense", nullptr), "Nonsense/");  // the native API says which there are
  EXPECT_EQ(txt2img({{"sampler_index", "Heun"}}).native["sampler"], "heun");
}

TEST(A1111Json, EveryListedSamplerAndSchedulerIsTaken) {
  for (const Json& sampler : a1111_samplers()) {
    const Json native = txt2img({{"sampler_name", sampler["name"]}}).native;
    EXPECT_EQ(native["sampler"], sampler["aliases"][0]) << sampler;
  }
  EXPECT_EQ(a1111_schedulers()[0]["label"], "Automatic");
  EXPECT_GT(a1111_schedulers().size(), 5u);
}

TEST(A1111Json, SeedsOfMinusOneAreDrawn) {
  EXPECT_FALSE(txt2img({{"seed", -1}}).native.contains("seed"));
  EXPECT_FALSE(txt2img({{"seed", nullptr}}).native.contains("seed"));
  EXPECT_FALSE(txt2img({{"seed", ""}}).native.contains("seed"));
  EXPECT_EQ(txt2img({{"seed", "12"}}).native["seed"], 12);
  EXPECT_EQ(txt2img({{"seed", UINT64_MAX}}).native["seed"], UINT64_MAX);
  const Json native = txt2img({{"subseed", -1}, {"subseed_strength", 0.5}}).native;
  EXPECT_EQ(native["variation_strength"], 0.5);
  EXPECT_FALSE(native.contains("variation_seed"));
}

TEST(A1111Json, SecondPassesOfASizeBecomeAFactor) {
  const Json base = {{"enable_hr", true}, {"width", 64}, {"height", 96}};
  const auto hires = [&](Json more) {
    Json body = base;
    body.update(more);
    return txt2img(body).native;
  };
  EXPECT_EQ(hires(Json::object())["hires"],
            Json::parse(R"({"scale": 2, "strength": 0.75, "method": "latent"})"));
  EXPECT_EQ(hires({{"hr_resize_x", 160}, {"hr_resize_y", 240}})["hires"]["scale"], 2.5);
  EXPECT_EQ(hires({{"hr_resize_y", 144}})["hires"]["scale"], 1.5);
  const Json first = hires({{"firstphase_width", 32}, {"firstphase_height", 48}});
  EXPECT_EQ(first["hires"]["scale"], 2);
  EXPECT_EQ(first["width"], 32);
  const Json network = hires({{"hr_upscaler", "R-ESRGAN 4x+"}})["hires"];
  EXPECT_EQ(network["method"], "network");
  EXPECT_EQ(network["upscaler"], "R-ESRGAN 4x+");
  EXPECT_EQ(hires({{"hr_upscaler", "Latent (bicubic)"}})["hires"]["method"], "latent-bicubic");
  EXPECT_EQ(hires({{"hr_upscaler", "None"}})["hires"]["method"], "lanczos");
  EXPECT_NO_THROW(
      hires({{"prompt", "p"}, {"hr_prompt", "p"}, {"hr_sampler_name", "Use same sampler"}}));
  expect_error(ErrorKind::kInvalidArgument, {"[hr_upscaler]", "did you mean Latent?"}, [&] {
    hires({{"hr_upscaler", "Latnet"}});
  });
  for (const Json& more :
       {Json{{"hr_resize_x", 640}, {"hr_resize_y", 240}}, Json{{"hr_prompt", "q"}},
        Json{{"hr_sampler_name", "Euler"}}, Json{{"hr_checkpoint_name", "m"}}})
    expect_error(ErrorKind::kUnsupported, {"not supported"}, [&] { hires(more); });
}

TEST(A1111Json, WhatNothingHereDoesIsRefused) {
  const Json bodies[] = {recorded("a1111_adetailer"),
                         {{"tiling", true}},
                         {{"restore_faces", true}},
                         {{"script_name", "X/Y/Z plot"}},
                         {{"refiner_checkpoint", "m"}},
                         {{"seed_resize_from_w", 64}},
                         {{"override_settings", {{"sd_vae", "kl.pt"}}}},
                         {{"infotext", "Steps: 3"}}};
  for (const Json& body : bodies) expect_error(ErrorKind::kUnsupported, {}, [&] { txt2img(body); });
  const Json image = "AAAA";
  for (const Json& more :
       {Json{{"init_images", {image, image}}}, Json{{"init_images", {image}}, {"resize_mode", 3}},
        Json{{"init_images", {image}}, {"mask", image}, {"inpainting_fill", 3}}})
    expect_error(ErrorKind::kUnsupported, {}, [&] { a1111_img2img(more, {}, kNames); });
}

TEST(A1111Json, WhatIsSwitchedOffIsTaken) {
  const Json body = Json::parse(R"({"script_name": "", "styles": [], "tiling": false,
      "alwayson_scripts": {"ADetailer": {"args": [false]}, "ControlNet": {"args": []}, "x": {}},
      "refiner_checkpoint": "", "restore_faces": null, "mask": ""})");
  EXPECT_NO_THROW(txt2img(body));
}

TEST(A1111Json, WrongValuesAreNamed) {
  const std::pair<Json, const char*> cases[] = {
      {{{"steps", 0}}, "[steps]"},
      {{{"steps", "many"}}, "[steps]"},
      {{{"width", -8}}, "[width]"},
      {{{"prompt", 5}}, "[prompt]"},
      {{{"seed", -2}}, "[seed]"},
      {{{"subseed_strength", 2}}, "[subseed_strength]"},
      {{{"batch_size", 0}}, "[batch_size]"},
      {{{"enable_hr", "yes"}}, "[enable_hr]"},
      {{{"override_settings", {{"samples_format", "gif"}}}}, "[samples_format]"},
      {{{"override_settings", 3}}, "[override_settings]"},
  };
  for (const auto& [body, part] : cases)
    expect_error(ErrorKind::kInvalidArgument, {part}, [&, &json = body] { txt2img(json); });
  expect_error(ErrorKind::kInvalidArgument, {"[init_images]"},
               [] { a1111_img2img(Json::object(), {}, kNames); });
}

TEST(A1111Json, UnknownMembersAreTold) {
  const auto request = txt2img({{"promt", "x"}, {"s_noise", 1.1}});
  ASSERT_EQ(request.warnings.size(), 2u);
  EXPECT_NE(request.warnings[1].find("promt"), std::string::npos);
}

TEST(A1111Json, CheckpointsGoByTitleNameAndFile) {
  for (const char* title : {"other", "OTHER", "other.safetensors", "Other.ckpt [0123abcd]"})
    EXPECT_EQ(a1111_model_name(title, kNames), "other");
  expect_error(ErrorKind::kNotFound, {"did you mean other?"},
               [] { a1111_model_name("othr", kNames); });
}

TEST(A1111Json, OptionsComeBackAsTheyWereSet) {
  std::vector<std::string> warnings;
  const A1111Options options =
      a1111_options(parse_body(R"({"sd_model_checkpoint": "other", "CLIP_stop_at_last_layers": 2,
                     "samples_format": "jpg", "randn_source": "CPU", "sd_vae": "Automatic",
                     "live_previews_enable": true, "outdir_samples": "x"})"),
                    {}, kNames, warnings);
  ASSERT_EQ(warnings.size(), 1u);
  const Json shown = a1111_options_json(options, kNames);
  EXPECT_EQ(shown["sd_model_checkpoint"], "other");
  EXPECT_EQ(shown["CLIP_stop_at_last_layers"], 2);
  EXPECT_EQ(a1111_options_json({}, kNames)["sd_model_checkpoint"], "m");
  // What is read can be written back whole.
  warnings.clear();
  EXPECT_EQ(a1111_options_json(a1111_options(shown, {}, kNames, warnings), kNames), shown);
  EXPECT_TRUE(warnings.empty());

  const Json native = a1111_txt2img({{"prompt", "p"}}, options, kNames).native;
  EXPECT_EQ(native["model"], "other");
  EXPECT_EQ(native["clip_skip"], 1);
  EXPECT_EQ(native["rng"], "torch");
  EXPECT_EQ(native["output"], Json::parse(R"({"format": "jpeg", "quality": 80})"));
}

TEST(A1111Json, Upscaling) {
  const A1111Upscale upscale = a1111_upscale(recorded("a1111_upscale"), kNames);
  EXPECT_EQ(shortened(upscale.native), Json::parse(R"({"type": "upscale", "scale": 2.0,
      "image": "data:image/png", "upscaler": "R-ESRGAN 4x+"})"));
  EXPECT_TRUE(upscale.warnings.empty());
  EXPECT_TRUE(a1111_upscale({{"image", "AAAA"}}, kNames).unchanged);
  expect_error(ErrorKind::kInvalidArgument, {"[upscaler_1]"}, [] {
    a1111_upscale({{"image", "AAAA"}, {"upscaler_1", "LDSR"}}, kNames);
  });
  expect_error(ErrorKind::kUnsupported, {"[gfpgan_visibility]"}, [] {
    a1111_upscale({{"image", "AAAA"}, {"gfpgan_visibility", 1}}, kNames);
  });
}

TEST(A1111Json, AnswersAreProcessedPictures) {
  A1111Request request = txt2img({{"prompt", "p"}, {"nonsense", 1}});
  JobSnapshot job;
  job.state = JobState::kSucceeded;
  job.info = R"([{"prompt": "p", "seed": 7, "sampler": "euler_a", "width_px": 64, "height_px": 32,
                  "steps": 3, "clip_skip": 1, "model": "m"}, {"prompt": "p", "seed": 8}])";
  const auto blob = std::make_shared<Blob>(Blob{"image/png", "png"});
  const Json answer = a1111_answer(request, job, {{blob, "text 7"}, {blob, "text 8"}});
  EXPECT_EQ(answer["images"], Json::parse(R"(["cG5n", "cG5n"])"));
  EXPECT_EQ(answer["parameters"]["prompt"], "p");
  const Json info = Json::parse(answer["info"].get<std::string>());
  EXPECT_EQ(info["seed"], 7);
  EXPECT_EQ(info["all_seeds"], Json::parse("[7, 8]"));
  EXPECT_EQ(info["sampler_name"], "Euler a");
  EXPECT_EQ(info["clip_skip"], 2);
  EXPECT_EQ(info["infotexts"], Json::parse(R"(["text 7", "text 8"])"));
  EXPECT_EQ(info["warnings"].size(), 1u);

  request.send_images = false;
  EXPECT_EQ(a1111_answer(request, job, {{blob, ""}})["images"], Json::array());
}

TEST(A1111Json, InterruptedJobsAnswerWithWhatCouldBeSeen) {
  JobSnapshot job;
  job.state = JobState::kCancelled;
  job.previews = {std::make_shared<Blob>(Blob{"image/jpeg", "jpg"})};
  const Json answer = a1111_answer(txt2img({{"prompt", "p"}}), job, {});
  EXPECT_EQ(answer["images"], Json::parse(R"(["anBn"])"));
  EXPECT_EQ(Json::parse(answer["info"].get<std::string>())["interrupted"], true);
}

TEST(A1111Json, ProgressIsIdleOrAJobs) {
  const Json idle = a1111_progress(nullptr, 0, false);
  EXPECT_EQ(idle["progress"], 0.0);
  EXPECT_EQ(idle["state"]["job_count"], 0);
  EXPECT_EQ(idle["current_image"], nullptr);
  JobSnapshot job;
  job.state = JobState::kRunning;
  job.progress = {.stage = "denoise", .step = 4, .steps = 20, .fraction = 0.25, .seconds_left = 3};
  job.previews = {std::make_shared<Blob>(Blob{"image/jpeg", "jpg"})};
  const Json busy = a1111_progress(&job, 2, false);
  EXPECT_EQ(busy["progress"], 0.25);
  EXPECT_EQ(busy["eta_relative"], 3);
  EXPECT_EQ(busy["state"]["sampling_step"], 4);
  EXPECT_EQ(busy["state"]["job_count"], 2);
  EXPECT_EQ(busy["current_image"], "anBn");
  EXPECT_EQ(a1111_progress(&job, 2, true)["current_image"], nullptr);
}

TEST(A1111Json, InfotextsAreTakenApart) {
  const Json parsed = a1111_parse_infotext(
      "a cat,\nred: blue\nNegative prompt: bad\nworse\nSteps: 20, Sampler: Euler a, CFG scale: 7, "
      "Seed: 42, Size: 512x768, Hires upscaler: \"Latent, \\\"x\\\"\", Model: m");
  EXPECT_EQ(parsed, Json::parse(R"({"Prompt": "a cat,\nred: blue", "Negative prompt": "bad\nworse",
      "Steps": "20", "Sampler": "Euler a", "CFG scale": "7", "Seed": "42", "Size-1": "512",
      "Size-2": "768", "Hires upscaler": "Latent, \"x\"", "Model": "m"})"));
  EXPECT_EQ(a1111_parse_infotext("only: a prompt")["Prompt"], "only: a prompt");
  const Json info =
      a1111_png_info({{"Software", "x"}, {"parameters", "p\nSteps: 1, Seed: 2, Size: 8x8"}});
  EXPECT_EQ(info["info"], "p\nSteps: 1, Seed: 2, Size: 8x8");
  EXPECT_EQ(info["items"]["Software"], "x");
  EXPECT_EQ(info["parameters"]["Seed"], "2");
  EXPECT_EQ(a1111_png_info({})["info"], "");
}

TEST(A1111Json, ListsTellNoPaths) {
  const Json models = a1111_models(kNames);
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0]["title"], "m");
  EXPECT_EQ(models[0]["filename"], "m");
  EXPECT_EQ(a1111_loras({"ink"})[0]["name"], "ink");
  EXPECT_EQ(a1111_upscalers(kNames)[1]["name"], "R-ESRGAN 4x+");
}

TEST(A1111Json, ErrorsHaveTheApisShape) {
  const Response response = a1111_error(problem_of(422, "unsupported", "[tiling] no", "tiling"));
  EXPECT_EQ(response.status, 422);
  const Json json = Json::parse(response.text());
  EXPECT_EQ(json["detail"], "[tiling] no");
  EXPECT_EQ(json["errors"], "[tiling] no");
}

}  // namespace
}  // namespace tintype::http
