// What a request becomes at the door, and what a worker makes of that.
#include "requests/job_request.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/base64.h"
#include "requests/canonical_request.h"
#include "requests/demo_catalogue.h"

namespace tintype {
namespace {

constexpr const char* kModel = "tintype-emoji-128";

std::string encoded(int width, int height, ImageFormat format = ImageFormat::kPng) {
  const std::vector<uint8_t> bytes = encode_image(
      {width, height, std::vector<uint8_t>(size_t(width) * size_t(height) * 3, 90)}, format);
  return encode_base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

JobSpec job_of(const Json& request, const RequestLimits& limits = {}) {
  return make_job(request, demo_catalogue(), limits);
}
Json canonical_of(const Json& request, const RequestLimits& limits = {}) {
  return Json::parse(job_of(request, limits).request);
}

/// The message of the error that the request ends with: "[where] ...".
std::string refusal_of(const Json& request, const RequestLimits& limits = {},
                       ErrorKind kind = ErrorKind::kInvalidArgument) {
  try {
    job_of(request, limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << request.dump().substr(0, 200);
  return "";
}

TEST(JobRequest, SaysWhatWillBeDrawn) {
  const JobSpec spec = job_of({{"type", "txt2img"}, {"prompt", "red apple"}});
  EXPECT_EQ(spec.model, kModel);
  const Json json = Json::parse(spec.request);
  EXPECT_EQ(json["model"], kModel);
  EXPECT_EQ(json["width"], 128);
  EXPECT_EQ(json["height"], 128);
  EXPECT_EQ(json["steps"], 20);
  EXPECT_TRUE(json["guidance_scale"].is_number());
  EXPECT_TRUE(json["sampler"].is_string());
  EXPECT_TRUE(json["seed"].is_number_unsigned());
  EXPECT_EQ(json["count"], 1);
  EXPECT_EQ(json["output"], (Json{{"format", "png"}, {"quality", 90}}));
  EXPECT_EQ(json["preview"], (Json{{"every", 1}, {"size", 256}}));
  EXPECT_FALSE(json.contains("negative_prompt"));  // absent is not ""
  // Two passes through the network for each of 20 steps over 128 x 128 pixels.
  EXPECT_NEAR(spec.work, 20 * 2 * 128 * 128 / 1e6, 1e-9);
}

TEST(JobRequest, CanonicalFormIsItsOwnCanonicalForm) {
  const Json once = canonical_of({{"type", "txt2img"},
                                  {"prompt", "fox"},
                                  {"preset", "ultra_fast"},
                                  {"hires", {{"scale", 1.5}}},
                                  {"seed", "18446744073709551615"},
                                  {"adapters", Json::array({{{"name", "line-drawing"}}})}});
  EXPECT_EQ(canonical_of(once), once);
  EXPECT_EQ(once["seed"], "18446744073709551615");  // above 2^53 as text
  EXPECT_EQ(once["hires"]["method"], "latent");
}

TEST(JobRequest, DrawsAnotherSeedEachTimeUnderTheSameFingerprint) {
  const Json request = {{"type", "txt2img"}, {"prompt", "fox"}, {"variation_strength", 0.2}};
  const JobSpec a = job_of(request), b = job_of(request);
  EXPECT_NE(a.request, b.request);
  EXPECT_EQ(a.fingerprint, b.fingerprint);
  EXPECT_TRUE(Json::parse(a.request).contains("variation_seed"));
  Json other = request;
  other["prompt"] = "cat";
  EXPECT_NE(job_of(other).fingerprint, a.fingerprint);
}

TEST(JobRequest, FingerprintsTellPicturesApart) {
  const auto print = [](int width) {
    return job_of({{"type", "img2img"}, {"image", encoded(width, 64)}}).fingerprint;
  };
  EXPECT_EQ(print(64), print(64));
  EXPECT_NE(print(64), print(72));
}

TEST(JobRequest, KeepsTheSubmissionApartFromWhatIsDrawn) {
  const JobSpec spec =
      job_of({{"type", "txt2img"}, {"client_key", "mine"}, {"priority", -3}, {"deadline_s", 60}});
  EXPECT_EQ(spec.client_key, "mine");
  EXPECT_EQ(spec.priority, -3);
  ASSERT_TRUE(spec.deadline);
  const double seconds = std::chrono::duration<double>(*spec.deadline - WallClock::now()).count();
  EXPECT_GT(seconds, 50);
  EXPECT_LE(seconds, 60);
  for (const char* name : {"client_key", "priority", "deadline_s"})
    EXPECT_FALSE(Json::parse(spec.request).contains(name)) << name;
  refusal_of({{"type", "txt2img"}, {"priority", 1}}, {.max_priority = 0});
}

TEST(JobRequest, PresetsFillInWhatIsOpen) {
  const Json json = canonical_of({{"type", "txt2img"}, {"preset", "ultra_fast"}, {"steps", 7}});
  EXPECT_EQ(json["steps"], 7);
  EXPECT_EQ(json["sampler"], "dpmpp_2m");
  EXPECT_EQ(json["scheduler"], "karras");
  EXPECT_EQ(json["guidance_scale"], 5);
  EXPECT_EQ(json["width"], 96);
  const JobRequest parsed = parse_canonical(json.dump(), {}, {});
  EXPECT_EQ(parsed.preset, "ultra_fast");  // whose profile the worker loads
}

TEST(JobRequest, SamplersTakeTheNamesOfGalleries) {
  const Json json = canonical_of({{"type", "txt2img"}, {"sampler", "DPM++ 2M Karras"}});
  EXPECT_EQ(json["sampler"], "dpmpp_2m");
  EXPECT_EQ(json["scheduler"], "karras");
  EXPECT_NE(refusal_of({{"type", "txt2img"}, {"sampler", "dpmpp_2n"}}).find("dpmpp_2m"),
            std::string::npos);
}

struct Refused {
  Json request;
  std::string where, part;
};

TEST(JobRequest, RefusalsNameTheMember) {
  const auto txt = [](const char* name, Json value) {
    return Json{{"type", "txt2img"}, {name, std::move(value)}};
  };
  const std::vector<Refused> cases{
      {Json::array(), "request", "a list of 0"},
      {Json::object(), "type", "got nothing"},
      {{{"type", "txt2imag"}}, "type", "did you mean txt2img?"},
      {txt("promt", "fox"), "promt", "did you mean prompt?"},
      {txt("image", "aa"), "image", "goes with img2img, inpaint, upscale"},
      {txt("prompt", 7), "prompt", "must be text, got 7"},
      {txt("prompt", std::string(70'000, 'a')), "prompt", "65536"},
      {txt("steps", 0), "steps", "1..150, got 0"},
      {txt("steps", 151), "steps", "1..150, got 151"},
      {txt("steps", 1.5), "steps", "whole number"},
      {txt("steps", "20"), "steps", "got \"20\""},
      {txt("width", 100), "width", "multiple of"},
      {txt("width", 8192), "width", "1..4096"},
      {txt("guidance_scale", 1e30), "guidance_scale", "-1000..1000"},
      {txt("seed", -1), "seed", "0..2^64-1, got -1"},
      {txt("seed", "0x7"), "seed", "0..2^64-1"},
      {txt("seed", "18446744073709551616"), "seed", "0..2^64-1"},
      {txt("seed", 1.5), "seed", "0..2^64-1"},
      {txt("count", 9), "count", "1..8"},
      {txt("rng", "torhc"), "rng", "did you mean torch?"},
      {txt("preset", "ultrafast"), "preset", "did you mean ultra_fast?"},
      {txt("hires", {{"scale", 9}}), "hires.scale", "1..8"},
      {txt("hires", {{"scle", 2}}), "hires.scle", "did you mean scale?"},
      {txt("hires", {{"method", "network"}}), "hires.upscaler", "method network"},
      {txt("output", {{"format", "gif"}}), "output.format", "png, jpeg, webp"},
      {txt("output", {{"quality", 0}}), "output.quality", "1..100"},
      {txt("adapters", {{{"weight", 1}}}), "adapters.name", "must be given"},
      {txt("adapters", "ink"), "adapters", "list"},
      {txt("guidance_interval", {5, 1}), "guidance_interval", "lower"},
      {txt("client_key", ""), "client_key", "1 to 200"},
      {txt("deadline_s", 0), "deadline_s", "0.001"},
      {txt("prompt", "<lora:>"), "prompt", "lora"},
      {{{"type", "img2img"}}, "image", "must be given"},
      {{{"type", "img2img"}, {"image", 7}}, "image", "must be text"},
      {{{"type", "img2img"}, {"image", "!!"}}, "image", "base64"},
      {{{"type", "inpaint"}, {"image", encoded(64, 64)}}, "mask", "neither"},
      {{{"type", "inpaint"}, {"image", encoded(64, 64)}, {"mask", encoded(64, 72)}},
       "mask",
       "64 x 64"},
      {{{"type", "inpaint"},
        {"image", encoded(64, 64)},
        {"mask_options", {{"padding", {1, 2, 3}}}}},
       "mask_options.padding",
       "list of 4"},
      {{{"type", "img2img"}, {"image", encoded(64, 64)}, {"strength", 0.01}},
       "strength",
       "at least one step"},
  };
  for (const Refused& one : cases) {
    const std::string message = refusal_of(one.request);
    EXPECT_EQ(message.rfind("[" + one.where + "] ", 0), 0u)
        << message << " for " << one.request.dump().substr(0, 200);
    EXPECT_NE(message.find(one.part), std::string::npos) << message;
  }
}

TEST(JobRequest, RefusesWhatIsNotThere) {
  const auto gone = [](const Json& request) {
    return refusal_of(request, {}, ErrorKind::kNotFound);
  };
  EXPECT_NE(gone({{"type", "txt2img"}, {"model", "tintype-emoji-12"}}).find("did you mean"),
            std::string::npos);
  EXPECT_NE(gone({{"type", "txt2img"}, {"adapters", {{{"name", "line-drawin"}}}}})
                .find("did you mean line-drawing?"),
            std::string::npos);
  gone({{"type", "txt2img"}, {"prompt", "a fox <lora:../../secret:1>"}});
  gone({{"type", "txt2img"}, {"refiner", "none"}});
  gone({{"type", "upscale"}, {"image", encoded(8, 8)}});
  gone({{"type", "txt2img"}, {"hires", {{"upscaler", "4x"}}}});
}

TEST(JobRequest, CountsAdaptersOfThePrompt) {
  const Json request = {{"type", "txt2img"},
                        {"prompt", "a fox <lora:line-drawing:0.5>"},
                        {"adapters", {{{"name", "line-drawing"}}}}};
  job_of(request);
  refusal_of(request, {.max_adapters = 1});
}

TEST(JobRequest, HoldsAllPicturesAgainstTheLimit) {
  const Json request = {{"type", "txt2img"}, {"width", 256}, {"height", 128}, {"count", 2}};
  job_of(request, {.max_pixels = 2 * 256 * 128});
  refusal_of(request, {.max_pixels = 2 * 256 * 128 - 1});
  Json hires = {{"type", "txt2img"}, {"hires", {{"scale", 2}}}};
  job_of(hires, {.max_pixels = 256 * 256});
  refusal_of(hires, {.max_pixels = 256 * 256 - 1});
  refusal_of(hires, {.max_side_px = 255});
}

TEST(JobRequest, TakesPicturesOfEveryFormatAndAsDataUris) {
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
    const std::string type(media_type_of(format));
    for (const std::string& head : {std::string(), "data:" + type + ";base64,"}) {
      const JobSpec spec = job_of({{"type", "img2img"}, {"image", head + encoded(70, 90, format)}});
      ASSERT_EQ(spec.inputs.size(), 1u);
      EXPECT_EQ(spec.inputs[0]->media_type, type);
      const Json json = Json::parse(spec.request);
      EXPECT_EQ(json["image"], 0);
      EXPECT_EQ(json["width"].get<int>() % 4, 0);
      EXPECT_LE(json["width"], 70);
      EXPECT_GT(json["width"], 60);
      EXPECT_EQ(json["strength"], 0.8);
    }
  }
}

TEST(JobRequest, BoundsPicturesBeforeDecodingThem) {
  const Json request = {{"type", "img2img"}, {"image", encoded(64, 64)}};
  refusal_of(request, {.max_input_pixels = 64 * 64 - 1});
  refusal_of(request, {.max_image_bytes = 20});
  // A header that claims 65535 x 65535 pixels.
  std::string png("\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\0\xFF\xFF\0\0\xFF\xFF\x08\2\0\0\0", 29);
  refusal_of({{"type", "img2img"}, {"image", encode_base64(png)}});
  refusal_of({{"type", "img2img"}, {"image", encode_base64("GIF89a....")}}, {},
             ErrorKind::kUnsupported);
  refusal_of({{"type", "img2img"}, {"image", encode_base64("nothing")}}, {},
             ErrorKind::kCorruptFile);
}

TEST(JobRequest, InpaintingWithoutASizeKeepsThePictures) {
  const JobSpec spec =
      job_of({{"type", "inpaint"}, {"image", encoded(70, 66)}, {"mask", encoded(70, 66)}});
  const Json json = Json::parse(spec.request);
  EXPECT_FALSE(json.contains("width"));
  EXPECT_EQ(json["image"], 0);
  EXPECT_EQ(json["mask"], 1);
  EXPECT_EQ(json["strength"], 1.0);
  EXPECT_EQ(spec.inputs.size(), 2u);
}

TEST(CanonicalRequest, CarriesEveryMemberToTheLibrary) {
  const Json request = {
      {"type", "txt2img"},
      {"prompt", "a fox"},
      {"negative_prompt", "blurry"},
      {"width", 96},
      {"height", 160},
      {"steps", 9},
      {"guidance_scale", 3.5},
      {"guidance_rescale", 0.25},
      {"guidance_interval", {0.5, 4}},
      {"clip_skip", 1},
      {"sampler", "euler"},
      {"scheduler", "karras"},
      {"reuse_threshold", 0.125},
      {"rng", "philox"},
      {"prompt_syntax", "a1111"},
      {"seed", 77},
      {"variation_seed", "88"},
      {"variation_strength", 0.5},
      {"count", 3},
      {"adapters", {{{"name", "line-drawing"}, {"weight", 0.5}, {"text_weight", 2}}}},
      {"size_conditioning", {{"original_width", 10}, {"crop_top", 3}}},
      {"output", {{"format", "webp"}, {"quality", 70}}},
      {"preview", {{"every", 2}, {"size", 64}}}};
  const JobRequest job = parse_canonical(job_of(request).request, {}, demo_options());
  EXPECT_EQ(job.model, kModel);
  EXPECT_EQ(job.count, 3);
  EXPECT_EQ(job.format, ImageFormat::kWebp);
  EXPECT_EQ(job.quality, 70);
  EXPECT_EQ(job.preview_every, 2);
  EXPECT_EQ(job.preview_size_px, 64);
  const TextToImageRequest& drawing = std::get<TextToImageRequest>(job.request);
  EXPECT_EQ(drawing.prompt, "a fox");
  EXPECT_EQ(drawing.negative_prompt, "blurry");
  EXPECT_EQ(drawing.width_px, 96);
  EXPECT_EQ(drawing.height_px, 160);
  EXPECT_EQ(drawing.steps, 9);
  EXPECT_EQ(drawing.guidance_scale, 3.5f);
  EXPECT_EQ(drawing.guidance_rescale, 0.25f);
  EXPECT_EQ(drawing.guidance_interval.low, 0.5f);
  EXPECT_EQ(drawing.guidance_interval.high, 4.0f);
  EXPECT_EQ(drawing.clip_skip, 1);
  EXPECT_EQ(drawing.sampler, "euler");
  EXPECT_EQ(drawing.scheduler, "karras");
  EXPECT_EQ(drawing.reuse_threshold, 0.125f);
  EXPECT_EQ(drawing.rng, "philox");
  EXPECT_EQ(drawing.prompt_syntax, "a1111");
  EXPECT_EQ(drawing.seed, 77u);
  EXPECT_EQ(drawing.variation_seed, 88u);
  EXPECT_EQ(drawing.variation_strength, 0.5f);
  ASSERT_EQ(drawing.adapters.size(), 1u);
  EXPECT_EQ(drawing.adapters[0].name, "line-drawing");
  EXPECT_EQ(drawing.adapters[0].weight, 0.5f);
  EXPECT_EQ(drawing.adapters[0].text_weight, 2.0f);
  EXPECT_EQ(drawing.adapter_folder, demo_options().adapter_folder);
  EXPECT_EQ(drawing.size_conditioning.original_width_px, 10);
  EXPECT_EQ(drawing.size_conditioning.crop_top_px, 3);
}

TEST(CanonicalRequest, CarriesMaskOptions) {
  const JobSpec spec = job_of({{"type", "inpaint"},
                               {"image", encoded(64, 64)},
                               {"strength", 0.5},
                               {"resize", "crop"},
                               {"mask_options",
                                {{"invert", true},
                                 {"padding", {8, 0, 16, 24}},
                                 {"grow", 3},
                                 {"blur", 7},
                                 {"fill", "noise"},
                                 {"composite", false}}}});
  const JobRequest job = parse_canonical(spec.request, spec.inputs, {});
  const InpaintRequest& request = std::get<InpaintRequest>(job.request);
  EXPECT_EQ(request.picture.image->width_px, 64);
  EXPECT_EQ(request.picture.strength, 0.5);
  EXPECT_EQ(request.picture.resize, ResizeMode::kCrop);
  EXPECT_EQ(request.mask, nullptr);
  EXPECT_TRUE(request.options.invert);
  EXPECT_EQ(request.options.padding.left, 8);
  EXPECT_EQ(request.options.padding.bottom, 24);
  EXPECT_EQ(request.options.grow_px, 3);
  EXPECT_EQ(request.options.blur_px, 7);
  EXPECT_EQ(request.options.fill, MaskFill::kNoise);
  EXPECT_FALSE(request.options.composite);
}

TEST(CanonicalRequest, RefusesWhatTheServerDidNotMake) {
  for (const char* text :
       {"", "[]", "{}", "{\"type\":\"txt2img\"}", "{\"type\":\"img2img\",\"image\":3,\"seed\":1}",
        "{\"type\":\"txt2img\",\"seed\":1,\"steps\":\"many\"}"}) {
    EXPECT_THROW(parse_canonical(text, {}, {}), Error) << text;
  }
}

}  // namespace
}  // namespace tintype
