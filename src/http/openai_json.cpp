#include "http/openai_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/base64.h"
#include "base/check.h"
#include "base/text.h"
#include "http/json_members.h"

namespace tintype::http {
namespace {

constexpr int kMaxPartialImages = 3;
/// What a size's side may be at all; the server's limits say what it may be here.
constexpr int kMaxSide = 1 << 16;

/// Times the model's own steps. Presets would replace the sampler and guidance that distilled
/// models need, so quality is effort alone.
struct Quality {
  std::string name;
  double effort;
};
const std::vector<Quality>& qualities() {
  static const std::vector<Quality> all = {{"auto", 1},   {"standard", 1}, {"low", 0.5},
                                           {"medium", 1}, {"high", 1.5},   {"hd", 1.5},
                                           {"xhigh", 2},  {"max", 3}};
  return all;
}

std::vector<std::string> quality_names() {
  std::vector<std::string> names;
  for (const Quality& quality : qualities()) names.push_back(quality.name);
  return names;
}

/// "512x768" into the native width and height; "auto" leaves them to the model.
void take_size(Members& members, Json& native) {
  const std::optional<std::string> size = members.text("size");
  if (!size || *size == "auto" || size->empty()) return;
  int sides[2] = {0, 0};
  const char* const end = size->data() + size->size();
  const auto width = std::from_chars(size->data(), end, sides[0]);
  const bool has_x = width.ec == std::errc() && width.ptr != end && *width.ptr == 'x';
  const auto height = has_x ? std::from_chars(width.ptr + 1, end, sides[1]) : width;
  TT_REQUIRE(has_x && height.ec == std::errc() && height.ptr == end && sides[0] > 0 &&
                 sides[1] > 0 && sides[0] <= kMaxSide && sides[1] <= kMaxSide,
             "size", "must be \"auto\" or WIDTHxHEIGHT in pixels, like \"512x768\", got \"",
             printable(*size, 40), "\"");
  native["width"] = sides[0];
  native["height"] = sides[1];
}

void take_output(Members& members, OpenAiRequest& request) {
  if (const auto format = members.text("output_format")) {
    if (*format == "gif" || *format == "svg")
      fail(ErrorKind::kUnsupported, "output_format", "must be png, jpeg or webp here, got ",
           *format);
    request.format = *format == "jpg" ? "jpeg" : *format;
    const std::vector<std::string> names = {"png", "jpeg", "webp"};
    TT_REQUIRE(std::find(names.begin(), names.end(), request.format) != names.end(),
               "output_format", unknown_name(*format, names));
  }
  const auto compression = members.integer("output_compression", 0, 100);
  const bool has_output = request.native.contains("output");
  TT_REQUIRE(!has_output || request.native["output"].is_object(), "output", "must be an object");
  Json output = has_output ? request.native["output"] : Json::object();
  if (output.contains("format") && output["format"].is_string())
    request.format = output["format"].get<std::string>();
  else
    output["format"] = request.format;
  // Without compression the API's "0" still is a picture: the lowest quality that there is.
  if (compression && request.format != "png")
    output["quality"] = std::max<int64_t>(*compression, 1);
  request.native["output"] = std::move(output);
}

/// What the API has and nothing here does must not be taken as done.
void take_unsupported(Members& members, OpenAiRequest& request) {
  if (const auto background = members.choice("background", {"auto", "opaque", "transparent"})) {
    if (*background == "transparent")
      fail(ErrorKind::kUnsupported, "background",
           "must be \"opaque\" or \"auto\": these models draw whole pictures, got \"transparent\"");
    request.background = *background;
  }
  for (const char* name : {"markup", "svg", "frame_count", "frame_duration_ms"})
    if (members.take(name))
      fail(ErrorKind::kUnsupported, name, "is not supported by this server, got a value");
  // What has no effect on a server of one's own: whom to blame, what to censor, how a hosted model
  // is told to behave.
  members.ignore(
      {"user", "safety_identifier", "moderation", "style", "input_fidelity", "complexity"});
}

/// Steps that the native request will make, as far as they are known before it is checked.
int steps_of(const Json& native, const DefaultSteps& default_steps) {
  const auto steps = native.find("steps");
  if (steps != native.end() && steps->is_number_integer()) {
    const auto count = steps->get<int64_t>();
    return static_cast<int>(std::clamp<int64_t>(count, 1, 1000));
  }
  const auto model = native.find("model");
  return default_steps(model != native.end() && model->is_string() ? model->get<std::string>()
                                                                   : std::string());
}

/// Everything but the pictures. What nobody takes is the native API's, which knows what is unknown.
void take_common(Members& members, const Json& body, const DefaultSteps& default_steps,
                 OpenAiRequest& request) {
  Json& native = request.native;
  const auto prompt = members.text("prompt");
  TT_REQUIRE(prompt.has_value(), "prompt", "must say what to draw, got none");
  native["prompt"] = *prompt;
  const auto model = members.text("model");
  if (model && !model->empty()) native["model"] = *model;
  take_size(members, native);
  const auto n = members.integer("n", 1, INT32_MAX);
  if (n) native["count"] = *n;
  const auto quality = members.choice("quality", quality_names());
  if (quality) request.quality = *quality;
  if (const auto form = members.choice("response_format", {"url", "b64_json"}))
    request.as_url = *form == "url";
  request.stream = members.flag("stream").value_or(false);
  request.partial_images =
      static_cast<int>(members.integer("partial_images", 0, kMaxPartialImages).value_or(0));
  TT_REQUIRE(request.partial_images == 0 || request.stream, "partial_images",
             "must go with \"stream\": true, got ", request.partial_images, " without");
  TT_REQUIRE(!request.stream || !request.as_url, "response_format",
             "must be b64_json of a stream, got url");
  take_unsupported(members, request);
  members.ignore({"output_format", "output_compression"});
  TT_REQUIRE(!body.contains("type") && !body.contains("count"), "body",
             "must not name type or count: the address is the type, n the count");
  for (const std::string& name : members.rest()) native[name] = body[name];
  take_output(members, request);
  if (quality && !native.contains("steps") && !native.contains("preset")) {
    const auto known = std::find_if(qualities().begin(), qualities().end(),
                                    [&](const Quality& one) { return one.name == *quality; });
    if (known->effort != 1)
      native["steps"] = std::max(
          1, static_cast<int>(std::lround(steps_of(native, default_steps) * known->effort)));
  }
  if (!native.contains("preview")) {
    // A preview a step at most; which of them are sent is decided by the step they show.
    const int every =
        request.partial_images == 0
            ? 0
            : std::max(1, steps_of(native, default_steps) / (4 * (request.partial_images + 1)));
    native["preview"] = {{"every", every}};
  }
}

/// Base64 or a data URI: as text, or as {"image_url": ...}, as the API's JSON form has it.
std::string picture_text(const Json& value, std::string_view name) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) {
    if (value.contains("file_id"))
      fail(ErrorKind::kUnsupported, name,
           "must come with the request: this server keeps no files, got a file_id");
    if (const auto url = value.find("image_url"); url != value.end() && url->is_string()) {
      const auto& text = url->get_ref<const std::string&>();
      if (text.starts_with("http://") || text.starts_with("https://"))
        fail(ErrorKind::kUnsupported, name,
             "must be a data URI: this server fetches nothing, got an address");
      return text;
    }
  }
  fail(ErrorKind::kInvalidArgument, name,
       "must be a picture as base64, as a data URI, or {\"image_url\": data URI}");
}

int64_t created_at(const JobSnapshot& job) {
  return std::chrono::duration_cast<std::chrono::seconds>(job.created.time_since_epoch()).count();
}

std::string size_text(int width_px, int height_px) { return cat(width_px, "x", height_px); }

/// Nothing here counts tokens; typed clients demand the member.
Json no_usage() {
  return {{"input_tokens", 0},
          {"input_tokens_details", {{"image_tokens", 0}, {"text_tokens", 0}}},
          {"output_tokens", 0},
          {"total_tokens", 0}};
}

std::string format_of(std::string_view media_type) {
  return std::string(media_type.substr(std::min(media_type.find('/') + 1, media_type.size())));
}

Json event_data(const OpenAiRequest& request, const JobSnapshot& job, const std::string& name) {
  return {{"type", name},
          {"created_at", created_at(job)},
          {"quality", request.quality},
          {"background", request.background},
          {"job", job.id.text()}};
}

/// Fields of forms whose text is text even where it looks like a number.
bool is_text_field(std::string_view name) {
  static const std::set<std::string, std::less<>> names = {
      "prompt",   "negative_prompt",  "prompt_2", "negative_prompt_2", "model",
      "user",     "client_key",       "sampler",  "scheduler",         "preset",
      "upscaler", "safety_identifier"};
  return names.contains(name);
}

Json form_value(const std::string& name, const FormPart& part) {
  if (!part.filename.empty() || part.media_type.starts_with("image/"))
    return encode_base64(part.contents);
  const std::string text(part.contents);
  if (is_text_field(name) || text.size() > 65536) return text;
  try {
    Json value = parse_json(text, name);
    if (!value.is_string()) return value;
  } catch (const Error&) {
    // Not JSON: plain text, as "512x512".
  }
  return text;
}

}  // namespace

OpenAiRequest openai_generation(const Json& body, const DefaultSteps& default_steps) {
  OpenAiRequest request;
  Members members(body);
  request.native = {{"type", "txt2img"}};
  take_common(members, body, default_steps, request);
  return request;
}

OpenAiRequest openai_edit(const Json& body, const DefaultSteps& default_steps) {
  OpenAiRequest request{.native = {}, .edit = true};
  Members members(body);
  const Json* picture = nullptr;
  for (const char* name : {"image", "images"}) {
    const Json* value = members.take(name);
    if (!value) continue;
    TT_REQUIRE(!picture, "image", "must be given once, got image and images");
    picture = value;
  }
  TT_REQUIRE(picture, "image", "must hold the picture to edit, got none");
  if (picture->is_array()) {
    if (picture->size() != 1)
      fail(ErrorKind::kUnsupported, "image", "must be one picture: these models edit one, got ",
           picture->size());
    picture = &picture->front();
  }
  const Json* mask = members.take("mask");
  request.native["type"] = mask ? "inpaint" : "img2img";
  take_common(members, body, default_steps, request);
  request.native["image"] = picture_text(*picture, "image");
  if (mask) {
    request.native["mask"] = picture_text(*mask, "mask");
    Json& options = request.native["mask_options"];
    if (options.is_null()) options = Json::object();
    TT_REQUIRE(options.is_object(), "mask_options", "must be an object");
    // The API's masks: what is transparent is drawn anew.
    if (!options.contains("from")) {
      options["from"] = "alpha";
      if (!options.contains("invert")) options["invert"] = true;
    }
  }
  return request;
}

Json json_of_form(const std::vector<FormPart>& parts) {
  Json json = Json::object();
  for (const FormPart& part : parts) {
    const size_t bracket = part.name.find('[');
    const std::string name = part.name.substr(0, bracket);
    if (bracket == std::string::npos) {
      TT_REQUIRE(!json.contains(name), printable(name, 60), "must be given once, got it twice");
      json[name] = form_value(name, part);
      continue;
    }
    TT_REQUIRE(part.name.back() == ']', printable(part.name, 60),
               "must close the brackets of its name");
    const std::string key = part.name.substr(bracket + 1, part.name.size() - bracket - 2);
    Json& owner = json[name];
    if (key.empty()) {
      if (owner.is_null()) owner = Json::array();
      TT_REQUIRE(owner.is_array(), printable(name, 60), "must be a list or an object, got both");
      owner.push_back(form_value(name, part));
    } else {
      if (owner.is_null()) owner = Json::object();
      TT_REQUIRE(owner.is_object() && !owner.contains(key), printable(part.name, 60),
                 "must be given once, got it twice");
      owner[key] = form_value(key, part);
    }
  }
  return json;
}

Json openai_answer(const OpenAiRequest& request, const JobSnapshot& job,
                   const std::vector<OpenAiPicture>& pictures) {
  Json data = Json::array();
  for (const OpenAiPicture& picture : pictures) {
    if (request.as_url)
      data.push_back({{"url", picture.url}});
    else
      data.push_back({{"b64_json", encode_base64(picture.bytes->bytes)}});
  }
  Json answer = {
      {"created", created_at(job)}, {"data", std::move(data)}, {"output_format", request.format},
      {"background", "opaque"},     {"usage", no_usage()},     {"job", job.id.text()}};
  if (request.quality != "auto") answer["quality"] = request.quality;
  if (!pictures.empty())
    answer["size"] = size_text(pictures[0].info.width_px, pictures[0].info.height_px);
  return answer;
}

OpenAiEvent openai_partial(const OpenAiRequest& request, const JobSnapshot& job, int index) {
  const std::string name =
      request.edit ? "image_edit.partial_image" : "image_generation.partial_image";
  Json data = event_data(request, job, name);
  data["b64_json"] = encode_base64(job.previews.at(0)->bytes);
  data["partial_image_index"] = index;
  data["output_format"] = format_of(job.previews[0]->media_type);
  // Previews are smaller than the picture; their own header says how large.
  data["size"] = "auto";
  return {name, std::move(data)};
}

OpenAiEvent openai_completed(const OpenAiRequest& request, const JobSnapshot& job,
                             const OpenAiPicture& picture) {
  const std::string name = request.edit ? "image_edit.completed" : "image_generation.completed";
  Json data = event_data(request, job, name);
  data["b64_json"] = encode_base64(picture.bytes->bytes);
  data["output_format"] = format_of(picture.info.media_type);
  data["size"] = size_text(picture.info.width_px, picture.info.height_px);
  data["usage"] = no_usage();
  return {name, std::move(data)};
}

int partials_due(int wanted, int step, int steps) {
  if (wanted <= 0 || steps <= 0 || step <= 0) return 0;
  const int64_t due = int64_t{step} * (wanted + 1) / steps;
  return static_cast<int>(std::min<int64_t>(due, wanted));
}

Json openai_error_json(const Problem& problem) {
  std::string type = "invalid_request_error";
  Json code = nullptr;
  if (problem.status >= 500) type = "server_error";
  if (problem.status == 429) type = "rate_limit_error", code = "rate_limit_exceeded";
  if (problem.status == 401) code = "invalid_api_key";
  if (problem.status == 403) type = "permission_error";
  if (problem.status == 404 && problem.field == "model") code = "model_not_found";
  if (code.is_null() && !problem.kind.empty()) code = problem.kind;
  return {{"error",
           {{"message", problem.message},
            {"type", type},
            {"param", problem.field.empty() ? Json(nullptr) : Json(problem.field)},
            {"code", code}}}};
}

Response openai_error(const Problem& problem) {
  return json_response(problem.status, openai_error_json(problem).dump());
}

}  // namespace tintype::http
