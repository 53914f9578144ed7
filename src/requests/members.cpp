#include "requests/members.h"

#include <cmath>
#include <cstdio>

#include "base/text.h"
#include "tintype/hires.h"
#include "tintype/presets.h"
#include "tintype/text_to_image.h"

namespace tintype {
namespace {

constexpr double kMaxPromptBytes = 64 << 10;
constexpr double kMaxNameBytes = 400;
constexpr double kMaxSizePx = 16384;
constexpr double kMaxMaskPx = 512, kMaxPaddingPx = 4096;
constexpr double kMaxDeadlineS = 1e9;

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : preset_table()) names.push_back(preset.name);
  return names;
}

Member prompt(const char* name, const char* meaning) {
  return {.name = name, .types = kDrawing, .most = kMaxPromptBytes, .meaning = meaning};
}

Member weight(const char* name, Json fallback, const char* meaning) {
  return {.name = name,
          .kind = MemberKind::kNumber,
          .least = -100,
          .most = 100,
          .fallback = std::move(fallback),
          .meaning = meaning};
}

Member pixels(const char* name, double most, Json fallback, const char* meaning) {
  return {.name = name,
          .kind = MemberKind::kInteger,
          .most = most,
          .fallback = std::move(fallback),
          .meaning = meaning};
}

Member flag(const char* name, bool fallback, const char* meaning) {
  return {.name = name, .kind = MemberKind::kBoolean, .fallback = fallback, .meaning = meaning};
}

/// What is drawn: prompts, size, effort.
std::vector<Member> drawing_members() {
  return {
      {.name = "model",
       .types = kDrawing,
       .kind = MemberKind::kName,
       .most = kMaxNameBytes,
       .meaning = "a name in `/v1/models`; absent: the first"},
      prompt("prompt", "what to draw, UTF-8; may name adapters: `<lora:ink:0.8>`"),
      prompt("negative_prompt",
             "what to steer away from; absent is not `\"\"` for models that say so (SDXL)"),
      prompt("prompt_2", "what the second text encoder of a model that has two reads instead"),
      prompt("negative_prompt_2", "likewise"),
      {.name = "width",
       .types = kDrawing,
       .kind = MemberKind::kInteger,
       .least = 1,
       .limit = ServerLimit::kSidePx,
       .meaning = "pixels, a multiple of the model's `size_multiple`; absent: the model's own, or "
                  "the picture's rounded down"},
      {.name = "height",
       .types = kDrawing,
       .kind = MemberKind::kInteger,
       .least = 1,
       .limit = ServerLimit::kSidePx,
       .meaning = "likewise"},
      {.name = "steps",
       .types = kDrawing,
       .kind = MemberKind::kInteger,
       .least = 1,
       .limit = ServerLimit::kSteps,
       .meaning = "time is linear in them; absent: the preset's, or the model's (20)"},
      {.name = "guidance_scale",
       .types = kDrawing,
       .kind = MemberKind::kNumber,
       .least = -1000,
       .most = 1000,
       .meaning = "how strongly the prompt is followed; at most 1 is none and twice as fast"},
      {.name = "guidance_rescale",
       .types = kDrawing,
       .kind = MemberKind::kNumber,
       .most = 1,
       .meaning = "how much of guidance's gain in contrast is taken back"},
      {.name = "guidance_interval",
       .types = kDrawing,
       .kind = MemberKind::kNumbers,
       .most = 1e6,
       .items = 2,
       .meaning = "two noise levels, the lower one first: guidance between them only"},
      {.name = "eta",
       .types = kDrawing,
       .kind = MemberKind::kNumber,
       .most = 1,
       .meaning = "sampler tcd: how far steps go below their level and back up with noise"},
      {.name = "clip_skip",
       .types = kDrawing,
       .kind = MemberKind::kInteger,
       .most = 100,
       .meaning = "last layers of the text encoder to leave out, counted as diffusers does"},
      {.name = "sampler",
       .types = kDrawing,
       .kind = MemberKind::kName,
       .most = kMaxNameBytes,
       .meaning = "a name in `/v1/samplers`, or as galleries write it: `DPM++ 2M Karras`; absent: "
                  "the preset's, or the model's"},
      {.name = "scheduler",
       .types = kDrawing,
       .kind = MemberKind::kName,
       .most = kMaxNameBytes,
       .meaning = "spacing of the noise levels; absent: the sampler's own"},
      {.name = "preset",
       .types = kDrawing,
       .kind = MemberKind::kName,
       .values = preset_names(),
       .meaning = "fills in what the request leaves open, docs/presets.md"},
      {.name = "reuse_threshold",
       .types = kDrawing,
       .kind = MemberKind::kNumber,
       .most = 1,
       .meaning = "reuse network calls that would change less than this; absent: the profile's"},
      {.name = "rng",
       .types = kDrawing,
       .kind = MemberKind::kName,
       .values = {"torch", "philox"},
       .fallback = "torch",
       .meaning = "noise of PyTorch's CPU generator, or of its GPU generator (A1111)"},
      {.name = "prompt_syntax",
       .types = kDrawing,
       .kind = MemberKind::kName,
       .values = {"plain", "a1111", "comfy"},
       .fallback = "plain",
       .meaning = "how prompts are read, docs/prompts.md"},
      {.name = "seed",
       .types = kDrawing,
       .kind = MemberKind::kSeed,
       .meaning = "start of the noise; absent: drawn"},
      {.name = "variation_seed",
       .types = kDrawing,
       .kind = MemberKind::kSeed,
       .meaning = "a second seed, mixed in by `variation_strength`; absent: drawn"},
      {.name = "variation_strength",
       .types = kDrawing,
       .kind = MemberKind::kNumber,
       .most = 1,
       .meaning = "0 keeps to `seed`, 1 to `variation_seed`"},
      {.name = "count",
       .types = kDrawing,
       .kind = MemberKind::kInteger,
       .least = 1,
       .limit = ServerLimit::kCount,
       .fallback = 1,
       .meaning = "pictures; seeds count up"},
      {.name = "adapters",
       .types = kDrawing,
       .kind = MemberKind::kObjects,
       .limit = ServerLimit::kAdapters,
       .meaning = "LoRA files and their relatives, added up",
       .members = {{.name = "name",
                    .kind = MemberKind::kName,
                    .most = kMaxNameBytes,
                    .meaning = "in `/v1/adapters`",
                    .required = true},
                   weight("weight", 1, "of the denoising network's part"),
                   weight("text_weight", nullptr,
                          "of the text encoders' part; absent: as `weight`")}},
      {.name = "refiner",
       .types = kDrawing,
       .kind = MemberKind::kName,
       .most = kMaxNameBytes,
       .meaning = "a model in `/v1/models` that removes the last of the noise"},
      {.name = "refiner_start",
       .types = kDrawing,
       .kind = MemberKind::kNumber,
       .most = 1,
       .meaning = "part of the noise removed when it takes over; absent: 0.8"},
      {.name = "size_conditioning",
       .types = kDrawing,
       .kind = MemberKind::kObject,
       .meaning = "SDXL: the sizes that it is told of; absent: the picture's",
       .members = {pixels("original_width", kMaxSizePx, nullptr, "of the picture to imitate"),
                   pixels("original_height", kMaxSizePx, nullptr, "likewise"),
                   pixels("target_width", kMaxSizePx, nullptr, "of the picture to compose for"),
                   pixels("target_height", kMaxSizePx, nullptr, "likewise"),
                   pixels("crop_left", kMaxSizePx, nullptr, "cut away from the left"),
                   pixels("crop_top", kMaxSizePx, nullptr, "cut away from the top")}},
  };
}

std::vector<Member> picture_members() {
  return {
      {.name = "image",
       .types = kFromPicture | kUpscaling,
       .kind = MemberKind::kPicture,
       .meaning = "base64 of a PNG, JPEG or WebP file, or a data URI of one",
       .required = true},
      {.name = "mask",
       .types = kInpaint,
       .kind = MemberKind::kPicture,
       .meaning =
           "likewise, of the picture's size; white is drawn anew. May be absent with padding"},
      {.name = "strength",
       .types = kFromPicture,
       .kind = MemberKind::kNumber,
       .most = 1,
       .meaning = "the part of the steps that are made; absent: 0.8, of inpainting 1"},
      {.name = "resize",
       .types = kFromPicture,
       .kind = MemberKind::kName,
       .values = {"fit", "crop", "pad"},
       .fallback = "fit",
       .meaning = "how a picture of another size than `width` and `height` takes it"},
      {.name = "mask_options",
       .types = kInpaint,
       .kind = MemberKind::kObject,
       .meaning = "how the mask is treated",
       .members = {flag("invert", false, "draws what the mask leaves out"),
                   {.name = "padding",
                    .kind = MemberKind::kIntegers,
                    .most = kMaxPaddingPx,
                    .items = 4,
                    .meaning = "outpainting: pixels added at the left, top, right and bottom"},
                   pixels("grow", kMaxMaskPx, 0, "pixels by which the mask is widened"),
                   pixels("blur", kMaxMaskPx, 4, "pixels of the feathered edge inside the mask"),
                   flag("only_masked", false,
                        "draws the rectangle around the mask alone, in full size"),
                   pixels("only_masked_padding", kMaxPaddingPx, 32, "pixels seen around it"),
                   {.name = "fill",
                    .kind = MemberKind::kName,
                    .values = {"original", "noise", "blur"},
                    .fallback = "original",
                    .meaning = "what lies under the mask at the start"},
                   flag("composite", true, "pixels outside the mask stay bit for bit")}},
      {.name = "hires",
       .types = kTxt2Img,
       .kind = MemberKind::kObject,
       .meaning = "draws, enlarges, and draws over it at that size",
       .members = {{.name = "scale",
                    .kind = MemberKind::kNumber,
                    .least = 1,
                    .most = 8,
                    .fallback = 2,
                    .meaning = "of the sides"},
                   {.name = "strength",
                    .kind = MemberKind::kNumber,
                    .most = 1,
                    .fallback = 0.6,
                    .meaning = "of the second pass"},
                   {.name = "method",
                    .kind = MemberKind::kName,
                    .values = hires_methods(),
                    .meaning = "what enlarges; absent: `latent`, with an upscaler `network`"},
                   {.name = "upscaler",
                    .kind = MemberKind::kName,
                    .most = kMaxNameBytes,
                    .meaning = "a name in `/v1/upscalers`, for `network`"}}},
      {.name = "upscaler",
       .types = kUpscaling,
       .kind = MemberKind::kName,
       .most = kMaxNameBytes,
       .meaning = "a name in `/v1/upscalers`; absent: the first"},
      {.name = "tile",
       .types = kUpscaling,
       .kind = MemberKind::kInteger,
       .most = 2048,
       .fallback = 512,
       .meaning = "pixels of the tiles' sides, at least 16; 0: no tiles"},
      {.name = "overlap",
       .types = kUpscaling,
       .kind = MemberKind::kInteger,
       .most = 1024,
       .fallback = 32,
       .meaning = "pixels that tiles look beyond their edge"},
  };
}

std::vector<Member> submission_members() {
  return {
      {.name = "output",
       .kind = MemberKind::kObject,
       .fallback = Json::object(),
       .meaning = "the result's file",
       .members = {{.name = "format",
                    .kind = MemberKind::kName,
                    .values = {"png", "jpeg", "webp"},
                    .fallback = "png",
                    .meaning = "each carries its settings as text"},
                   {.name = "quality",
                    .kind = MemberKind::kInteger,
                    .least = 1,
                    .most = 100,
                    .fallback = 90,
                    .meaning = "of JPEG and WebP; a WebP of 100 is lossless"}}},
      {.name = "preview",
       .types = kDrawing,
       .kind = MemberKind::kObject,
       .fallback = Json::object(),
       .meaning = "pictures while it is drawn, at most ten a second",
       .members = {{.name = "every",
                    .kind = MemberKind::kInteger,
                    .most = 1000,
                    .fallback = 1,
                    .meaning = "steps from one to the next; 0: none"},
                   pixels("size", 1024, 256, "of the longer side; 0: one a latent")}},
      {.name = "client_key",
       .least = 1,
       .most = 200,
       .meaning = "the caller's own name for this submission, also the header `Idempotency-Key`: "
                  "the same again, with the same request, is the same job"},
      {.name = "priority",
       .kind = MemberKind::kInteger,
       .least = -10,
       .limit = ServerLimit::kPriority,
       .meaning = "the higher first; above 0 needs a key that may"},
      {.name = "deadline_s",
       .kind = MemberKind::kNumber,
       .least = 0.001,
       .most = kMaxDeadlineS,
       .meaning = "seconds from now until the job is worth nothing"},
  };
}

std::vector<Member> table() {
  std::vector<Member> members{{.name = "type",
                               .kind = MemberKind::kName,
                               .values = request_type_names(),
                               .meaning = "what is asked for",
                               .required = true}};
  for (auto part : {drawing_members, picture_members, submission_members})
    for (Member& member : part()) members.push_back(std::move(member));
  return members;
}

const char* limit_name(ServerLimit limit) {
  switch (limit) {
    case ServerLimit::kNone:
      return "";
    case ServerLimit::kSteps:
      return "the server's `max_steps`";
    case ServerLimit::kSidePx:
      return "the server's `max_side_px`";
    case ServerLimit::kCount:
      return "the server's `max_count`";
    case ServerLimit::kAdapters:
      return "the server's `max_adapters`";
    case ServerLimit::kPriority:
      return "what the key may, at most 10";
  }
  return "";
}

std::string number_text(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.10g", value);
  return text;
}

std::string types_text(unsigned types) {
  if (types == kEveryType) return "all";
  std::string text;
  const std::vector<std::string>& names = request_type_names();
  for (size_t i = 0; i < names.size(); ++i)
    if (types & (1u << i)) text += (text.empty() ? "`" : ", `") + names[i] + "`";
  return text;
}

std::string value_text(const Member& member) {
  const std::string most =
      member.limit == ServerLimit::kNone ? number_text(member.most) : limit_name(member.limit);
  const std::string range = number_text(member.least) + " to " + most;
  switch (member.kind) {
    case MemberKind::kText:
      return cat("text of at most ", most, " bytes");
    case MemberKind::kName: {
      if (member.values.empty()) return "name";
      std::string text;
      for (const std::string& value : member.values)
        text += (text.empty() ? "`" : ", `") + value + "`";
      return text;
    }
    case MemberKind::kInteger:
      return "whole number, " + range;
    case MemberKind::kNumber:
      return "number, " + range;
    case MemberKind::kBoolean:
      return "`true`, `false`";
    case MemberKind::kSeed:
      return "whole number, 0 to 2^64-1; above 2^53 as text";
    case MemberKind::kPicture:
      return "text";
    case MemberKind::kIntegers:
      return cat("list of ", member.items, " whole numbers, ", range);
    case MemberKind::kNumbers:
      return cat("list of ", member.items, " numbers, ", range);
    case MemberKind::kObject:
      return "object";
    case MemberKind::kObjects:
      return cat("list of objects, at most ", most);
  }
  return "";
}

std::string row(const std::string& prefix, const Member& member, unsigned types) {
  const bool filled = !member.fallback.is_null() && !member.fallback.is_object();
  std::string text =
      cat("| `", prefix, member.name, "` | ", types_text(types), " | ", value_text(member), " | ",
          member.meaning, filled ? cat("; absent: `", member.fallback.dump(), "`") : "", " |\n");
  for (const Member& inner : member.members) text += row(prefix + member.name + ".", inner, types);
  return text;
}

}  // namespace

const std::vector<std::string>& request_type_names() {
  static const std::vector<std::string> names{"txt2img", "img2img", "inpaint", "upscale"};
  return names;
}

const std::vector<Member>& request_members() {
  static const std::vector<Member> members = table();
  return members;
}

double most_of(const Member& member, const RequestLimits& limits) {
  switch (member.limit) {
    case ServerLimit::kNone:
      return member.most;
    case ServerLimit::kSteps:
      return limits.max_steps;
    case ServerLimit::kSidePx:
      return limits.max_side_px;
    case ServerLimit::kCount:
      return limits.max_count;
    case ServerLimit::kAdapters:
      return static_cast<double>(limits.max_adapters);
    case ServerLimit::kPriority:
      return limits.max_priority;
  }
  return member.most;
}

std::string members_markdown() {
  std::string text = "| member | of types | value | meaning |\n|---|---|---|---|\n";
  for (const Member& member : request_members()) text += row("", member, member.types);
  return text;
}

}  // namespace tintype
