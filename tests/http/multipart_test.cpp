#include "http/multipart.h"

#include <gtest/gtest.h>

#include "base/expect_error.h"
#include "http/recorded_request.h"

namespace tintype::http {
namespace {

using tintype::testing::expect_error;
using tintype::testing::recorded_request;

constexpr const char* kType = "multipart/form-data; boundary=b";

TEST(Multipart, ReadsWhatTheOpenAiClientSends) {
  const auto request = recorded_request("openai_edit_mask");
  ASSERT_TRUE(is_multipart_form(request.content_type));
  const auto parts = parse_multipart(request.content_type, request.body);
  std::vector<std::string> names;
  for (const FormPart& part : parts) names.push_back(part.name);
  EXPECT_EQ(names, (std::vector<std::string>{"prompt", "n", "size", "steps", "strength",
                                             "hires[scale]", "image", "mask"}));
  EXPECT_EQ(parts[0].contents, "12");
  EXPECT_EQ(parts[0].filename, "");
  EXPECT_EQ(parts[6].filename, "image.png");
  EXPECT_EQ(parts[6].media_type, "image/png");
  EXPECT_TRUE(parts[6].contents.starts_with("\x89PNG\r\n"));
  EXPECT_TRUE(parts[6].contents.ends_with("IEND\xae\x42\x60\x82"));
}

TEST(Multipart, ContentsMayHoldLineEndsAndHalfBoundaries) {
  const std::string contents = "\r\n--a\r\n--\r\n\r\n-b--";
  const auto parts = parse_multipart(
      kType, "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n" + contents + "\r\n--b--");
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].contents, contents);
}

TEST(Multipart, ReadsPreamblesEmptyPartsAndQuotedNames) {
  const auto parts = parse_multipart(
      "Multipart/Form-Data; charset=utf-8; Boundary=\"b c\"",
      "preamble\r\n--b c \t\r\n"
      "content-type: Text/Plain\r\nCONTENT-DISPOSITION: form-data; name=\"a\\\"b;c\"; "
      "filename=\"x\\y.png\"\r\n\r\n"
      "\r\n--b c\r\nContent-Disposition: form-data; name=bare\r\n\r\n1\r\n--b c--\r\nepilogue");
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].name, "a\"b;c");
  EXPECT_EQ(parts[0].filename, "x\\y.png");
  EXPECT_EQ(parts[0].media_type, "text/plain");
  EXPECT_EQ(parts[0].contents, "");
  EXPECT_EQ(parts[1].name, "bare");
  EXPECT_EQ(parts[1].contents, "1");
}

TEST(Multipart, AFormWithoutPartsIsEmpty) { EXPECT_TRUE(parse_multipart(kType, "--b--").empty()); }

TEST(Multipart, OtherTypesAreNoForms) {
  EXPECT_FALSE(is_multipart_form("application/json"));
  EXPECT_FALSE(is_multipart_form("multipart/mixed; boundary=b"));
  EXPECT_FALSE(is_multipart_form(""));
}

TEST(Multipart, RefusesWhatIsMalformed) {
  const std::string head = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n";
  const std::tuple<std::string, std::string, std::string> cases[] = {
      {"multipart/form-data", head + "1\r\n--b--", "boundary"},
      {"multipart/form-data; boundary=" + std::string(71, 'b'), head, "boundary"},
      {"multipart/form-data; boundary=\"b", head, "open one"},
      {"multipart/form-data; boundary=b\x01", head, "printable"},
      {kType, "", "got none"},
      {kType, "--c--", "got none"},
      {kType, "--b", "new line"},
      {kType, "--bx\r\n", "new line"},
      {kType, head + "1", "cut off"},
      {kType, head + "1\r\n--", "cut off"},
      {kType, "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n1\r\n--b--", "empty line"},
      {kType, "--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--", "without"},
      {kType, "--b\r\nContent-Disposition: attachment; name=\"x\"\r\n\r\n1\r\n--b--", "without"},
      {kType, "--b\r\nContent-Disposition: form-data; name=\"x\r\n\r\n1\r\n--b--", "open one"},
      {kType, "--b\r\nno colon\r\n\r\n1\r\n--b--", "name: value"},
      {kType,
       "--b\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=x\r\n\r\n"
       "1\r\n--b--",
       "as they are"},
  };
  for (const auto& [type, body, part] : cases)
    expect_error(ErrorKind::kInvalidArgument, {part}, [&] { parse_multipart(type, body); });
}

TEST(Multipart, BoundsPartsAndTheirHeaders) {
  const std::string part = "\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b";
  EXPECT_EQ(parse_multipart(kType, "--b" + part + part + "--", {.max_parts = 2}).size(), 2u);
  expect_error(ErrorKind::kInvalidArgument, {"at most 1"},
               [&] { parse_multipart(kType, "--b" + part + part + "--", {.max_parts = 1}); });
  expect_error(ErrorKind::kInvalidArgument, {"at most 20 bytes"},
               [&] { parse_multipart(kType, "--b" + part + "--", {.max_header_bytes = 20}); });
}

}  // namespace
}  // namespace tintype::http
