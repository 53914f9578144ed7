#include "http/openai_json.h"

#include <gtest/gtest.h>

#include "base/base64.h"
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

int twenty(std::string_view) { return 20; }

OpenAiRequest generation(const std::string& body) {
  return openai_generation(parse_body(body), twenty);
}

OpenAiRequest recorded_edit(const std::string& name) {
  const auto request = recorded_request(name);
  return openai_edit(json_of_form(parse_multipart(request.content_type, request.body)), twenty);
}

/// The native request with long texts replaced by their first bytes, decoded.
Json shortened(Json native) {
  for (const char* name : {"image", "mask"})
    if (native.contains(name))
      native[name] =
          decode_data_uri(native[name].get<std::string>(), name, 1 << 20).bytes.substr(1, 3);
  return native;
}

TEST(OpenAiJson, TheLeastRequestIsTheModelsOwn) {
  const auto request = generation(recorded_request("openai_generate_least").body);
  EXPECT_EQ(request.native, Json::parse(R"({"type": "txt2img", "prompt": "a red apple",
      "output": {"format": "png"}, "preview": {"every": 0}})"));
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.as_url);
}

TEST(OpenAiJson, EveryMemberIsConvertedOrAccepted) {
  const auto request = generation(recorded_request("openai_generate_all").body);
  EXPECT_EQ(request.native, Json::parse(R"({"type": "txt2img", "prompt": "a red apple",
      "model": "m", "count": 2, "width": 512, "height": 768, "steps": 30, "seed": 5,
      "negative_prompt": "blurry", "guidance_scale": 4.5,
      "output": {"format": "webp", "quality": 80}, "preview": {"every": 0}})"));
  EXPECT_TRUE(request.as_url);
  EXPECT_EQ(request.quality, "high");
  EXPECT_EQ(request.background, "opaque");
}

TEST(OpenAiJson, AStreamOfPartialPicturesAsksForPreviews) {
  const auto request = generation(recorded_request("openai_generate_stream").body);
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.partial_images, 2);
  EXPECT_EQ(request.native["preview"], Json::parse(R"({"every": 1})"));
}

TEST(OpenAiJson, AMaskIsItsTransparentPart) {
  const auto request = recorded_edit("openai_edit_mask");
  EXPECT_TRUE(request.edit);
  EXPECT_EQ(shortened(request.native), Json::parse(R"({"type": "inpaint", "prompt": "12",
      "count": 2, "width": 512, "height": 512, "steps": 3, "strength": 0.5, "hires": {"scale": 2},
      "image": "PNG", "mask": "PNG", "mask_options": {"from": "alpha", "invert": true},
      "output": {"format": "png"}, "preview": {"every": 0}})"));
}

TEST(OpenAiJson, APictureAloneIsDrawnOver) {
  const auto request = recorded_edit("openai_edit_list");
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(shortened(request.native), Json::parse(R"({"type": "img2img", "prompt": "green",
      "image": "PNG", "output": {"format": "png"}, "preview": {"every": 2}})"));
}

TEST(OpenAiJson, EditsTakeJsonToo) {
  const Json image = {{"image_url", "data:image/png;base64,AFBORw=="}};
  const auto request = openai_edit({{"prompt", "p"}, {"images", Json::array({image})}}, twenty);
  EXPECT_EQ(shortened(request.native)["image"], "PNG");
  for (const Json& other : {Json{{"file_id", "f"}}, Json{{"image_url", "https://example.org/a"}}})
    expect_error(ErrorKind::kUnsupported, {"[image]"}, [&] {
      openai_edit({{"prompt", "p"}, {"images", Json::array({other})}}, twenty);
    });
}

TEST(OpenAiJson, EditsOfTwoPicturesAreRefused) {
  expect_error(ErrorKind::kUnsupported, {"[image]", "got 2"},
               [] { recorded_edit("openai_edit_two"); });
}

TEST(OpenAiJson, QualityIsEffortUnlessStepsAreGiven) {
  EXPECT_EQ(generation(R"({"prompt": "p", "quality": "low"})").native["steps"], 10);
  EXPECT_FALSE(generation(R"({"prompt": "p", "quality": "medium"})").native.contains("steps"));
  EXPECT_EQ(generation(R"({"prompt": "p", "quality": "max", "steps": 4})").native["steps"], 4);
  EXPECT_FALSE(
      generation(R"({"prompt": "p", "quality": "hd", "preset": "lcm"})").native.contains("steps"));
}

TEST(OpenAiJson, NullIsAbsent) {
  EXPECT_EQ(
      generation(R"({"prompt": "p", "size": null, "n": null, "model": null, "seed": null})").native,
      generation(R"({"prompt": "p"})").native);
}

TEST(OpenAiJson, RefusesWhatItDoesNotDo) {
  const std::pair<const char*, const char*> invalid[] = {
      {R"({})", "[prompt]"},
      {R"({"prompt": 7})", "[prompt]"},
      {R"({"prompt": "p", "size": "512"})", "[size]"},
      {R"({"prompt": "p", "size": "512x"})", "[size]"},
      {R"({"prompt": "p", "size": "0x512"})", "[size]"},
      {R"({"prompt": "p", "size": "-1x512"})", "[size]"},
      {R"({"prompt": "p", "size": "99999999999x512"})", "[size]"},
      {R"({"prompt": "p", "n": 0})", "[n]"},
      {R"({"prompt": "p", "n": 1.5})", "[n]"},
      {R"({"prompt": "p", "quality": "hihg"})", "did you mean high?"},
      {R"({"prompt": "p", "output_format": "pnh"})", "[output_format]"},
      {R"({"prompt": "p", "output_compression": 101})", "[output_compression]"},
      {R"({"prompt": "p", "partial_images": 4, "stream": true})", "[partial_images]"},
      {R"({"prompt": "p", "partial_images": 1})", "[partial_images]"},
      {R"({"prompt": "p", "stream": true, "response_format": "url"})", "[response_format]"},
      {R"({"prompt": "p", "type": "upscale"})", "must not name type"},
      {R"([])", "[body]"},
      {R"({"prompt")", "[body]"},
  };
  for (const auto& [body, part] : invalid)
    expect_error(ErrorKind::kInvalidArgument, {part}, [&] { generation(body); });
  for (const char* member :
       {R"("background": "transparent")", R"("output_format": "svg")", R"("frame_count": 4)"})
    expect_error(ErrorKind::kUnsupported, {},
                 [&] { generation(std::string(R"({"prompt": "p", )") + member + "}"); });
}

TEST(OpenAiJson, FormsRefuseAFieldGivenTwice) {
  const FormPart part{.name = "prompt", .filename = "", .media_type = "", .contents = "x"};
  expect_error(ErrorKind::kInvalidArgument, {"twice"}, [&] { json_of_form({part, part}); });
  FormPart list = part;
  list.name = "prompt[]";
  expect_error(ErrorKind::kInvalidArgument, {"list"}, [&] { json_of_form({part, list}); });
}

JobSnapshot job() {
  JobSnapshot snapshot;
  snapshot.created = WallClock::time_point(std::chrono::seconds(1700000000));
  snapshot.previews = {std::make_shared<Blob>(Blob{"image/jpeg", "jpg"})};
  return snapshot;
}

TEST(OpenAiJson, AnswersHoldPicturesOrAddresses) {
  OpenAiRequest request;
  const std::vector<OpenAiPicture> pictures = {
      {.url = "http://h/1",
       .bytes = std::make_shared<Blob>(Blob{"image/png", "png"}),
       .info = {"image/png", 3, 64, 32}}};
  Json answer = openai_answer(request, job(), pictures);
  EXPECT_EQ(answer["created"], 1700000000);
  EXPECT_EQ(answer["data"], Json::parse(R"([{"b64_json": "cG5n"}])"));
  EXPECT_EQ(answer["size"], "64x32");
  request.as_url = true;
  EXPECT_EQ(openai_answer(request, job(), pictures)["data"],
            Json::parse(R"([{"url": "http://h/1"}])"));

  const OpenAiEvent partial = openai_partial(request, job(), 1);
  EXPECT_EQ(partial.name, "image_generation.partial_image");
  EXPECT_EQ(partial.data["type"], partial.name);
  EXPECT_EQ(partial.data["b64_json"], "anBn");
  EXPECT_EQ(partial.data["partial_image_index"], 1);
  EXPECT_EQ(partial.data["output_format"], "jpeg");
  request.edit = true;
  const OpenAiEvent completed = openai_completed(request, job(), pictures[0]);
  EXPECT_EQ(completed.name, "image_edit.completed");
  EXPECT_EQ(completed.data["b64_json"], "cG5n");
  EXPECT_EQ(completed.data["size"], "64x32");
}

TEST(OpenAiJson, PartialPicturesAreSpreadEvenly) {
  std::vector<int> sent;
  for (int step = 0; step <= 20; ++step) sent.push_back(partials_due(3, step, 20));
  EXPECT_EQ(sent,
            (std::vector<int>{0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3}));
  EXPECT_EQ(partials_due(0, 5, 20), 0);
  EXPECT_EQ(partials_due(2, 5, 0), 0);
  EXPECT_EQ(partials_due(3, 1, 1), 3);
}

TEST(OpenAiJson, ErrorsHaveTheApisShape) {
  EXPECT_EQ(openai_error_json(problem_of(400, "invalid_argument", "[n] bad", "n")),
            Json::parse(R"({"error": {"message": "[n] bad", "type": "invalid_request_error",
                            "param": "n", "code": "invalid_argument"}})"));
  const Json full = openai_error_json(problem_of(429, "queue_full", "m", ""));
  EXPECT_EQ(full["error"]["code"], "rate_limit_exceeded");
  EXPECT_EQ(full["error"]["param"], nullptr);
  EXPECT_EQ(openai_error_json(problem_of(500, "internal", "m", ""))["error"]["type"],
            "server_error");
}

}  // namespace
}  // namespace tintype::http
