#include "base/json.h"

#include <gtest/gtest.h>

#include <string>

#include "base/expect_error.h"
#include "base/temporary_folder.h"

namespace tintype {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

void corrupt(std::initializer_list<std::string_view> parts, std::string_view text) {
  SCOPED_TRACE(text.substr(0, 80));
  expect_error(ErrorKind::kCorruptFile, parts, [&] { parse_json(text, "config.json"); });
}

TEST(ParseJson, BuildsTheSameDocumentAsTheLibrary) {
  const std::string text =
      R"({"a":[1,-2,3.5,"x",null,true,{"b":[],"c":{}}],"d":18446744073709551615,"é":"\u00e9"})";
  EXPECT_EQ(parse_json(text, "x"), Json::parse(text));
  EXPECT_EQ(parse_json(" 7 ", "x"), Json(7));
  EXPECT_EQ(parse_json("[[],[[1],[2]],3]", "x"), Json::parse("[[],[[1],[2]],3]"));
}

TEST(ParseJson, SyntaxErrorsNameFileAndPlace) {
  corrupt({"[config.json]", "valid JSON", "byte 6", "syntax error"}, "{\"a\" 1}");
  corrupt({"valid JSON"}, "");
  corrupt({"valid JSON"}, "{");
  corrupt({"valid JSON"}, "[1,]");
  corrupt({"valid JSON"}, "[1] // note");
  corrupt({"valid JSON"}, "[1] 2");
  corrupt({"valid JSON"}, "\"\xff\"");
  corrupt({"valid JSON"}, "\"\x1b[31m\"");
  corrupt({"NUL at byte 3"}, std::string_view("[1]\0[2]", 7));
}

TEST(ParseJson, NumbersAreFinite) {
  for (const char* text : {"NaN", "Infinity", "-Infinity", "[nan]", "1e999", "{\"a\":-1e400}"}) {
    corrupt({"must be valid JSON, got"}, text);
  }
}

TEST(ParseJson, KeysAreUnique) {
  corrupt({"each key once", "\"a\" twice"}, R"({"a":1,"b":{"a":2},"a":3})");
  corrupt({"each key once", "\"a\" twice"}, R"([{"a":1,"\u0061":3}])");
  EXPECT_EQ(parse_json(R"([{"a":1},{"a":2}])", "x").size(), 2u);
}

TEST(ParseJson, DepthIsLimited) {
  const std::string deepest = std::string(64, '[') + std::string(64, ']');
  EXPECT_TRUE(parse_json(deepest, "x").is_array());
  corrupt({"at most 64 deep"}, "[" + deepest + "]");
  corrupt({"at most 64 deep"}, std::string(10'000'000, '['));
  std::string objects;
  for (int i = 0; i < 65; ++i) objects += "{\"a\":";
  corrupt({"at most 64 deep"}, objects);
}

TEST(ParseJson, ValuesAreCounted) {
  std::string many = "[0";
  for (int i = 0; i < 4'000'000; ++i) many += ",0";
  corrupt({"at most 4000000 values"}, many + "]");
}

TEST(ReadTextFile, ReadsExactlyWhatIsThere) {
  const TemporaryFolder folder;
  const std::string content("a\0b\r\n", 5);
  EXPECT_EQ(read_text_file(folder.write("t", content)), content);
  EXPECT_EQ(read_text_file(folder.write("e", "")), "");
  EXPECT_EQ(read_json_file(folder.write("j", "[1]")), Json::parse("[1]"));
}

TEST(ReadTextFile, RefusesWhatIsNoSmallFile) {
  const TemporaryFolder folder;
  const auto file = folder.write("big", "12345");
  EXPECT_EQ(read_text_file(file, 5), "12345");
  expect_error(ErrorKind::kCorruptFile, {"big", "at most 4 bytes", "got 5"},
               [&] { read_text_file(file, 4); });
  expect_error(ErrorKind::kNotFound, {"absent"}, [&] { read_text_file(folder.path() / "absent"); });
  expect_error(ErrorKind::kNotFound, {"big/x"}, [&] { read_text_file(file / "x"); });
  expect_error(ErrorKind::kCorruptFile, {"regular file", "a folder"},
               [&] { read_text_file(folder.path()); });
  expect_error(ErrorKind::kCorruptFile, {"regular file"}, [] { read_text_file("/dev/zero"); });
}

class JsonConfig : public ::testing::Test {
 protected:
  const Json json_ = parse_json(R"({
    "int": 5, "negative": -7, "huge": 18446744073709551615, "bigger": 99999999999999999999,
    "float": 2.5, "whole_float": 5.0, "text": "hi", "yes": true, "none": null,
    "ints": [1, 2, 3], "mixed": [1, "2"], "texts": ["a", "b"], "numbers": [0.5, 1], "object": {}
  })",
                                "c");
  const JsonObject config_{json_, "unet/config.json"};

  template <typename Action>
  void refuse(std::initializer_list<std::string_view> parts, const Action& action) {
    expect_error(ErrorKind::kCorruptFile, {"[unet/config.json]"}, action);
    expect_error(ErrorKind::kCorruptFile, parts, action);
  }
};

TEST_F(JsonConfig, NullCountsAsAbsent) {
  EXPECT_TRUE(config_.has("int"));
  EXPECT_FALSE(config_.has("none"));
  EXPECT_FALSE(config_.has("absent"));
  EXPECT_EQ(config_.integer("none", 0, 9, 4), 4);
  EXPECT_EQ(config_.text("absent", "fallback"), "fallback");
  refuse({"none must be an integer between 0 and 9, got nothing"},
         [&] { config_.integer("none", 0, 9); });
}

TEST_F(JsonConfig, Integers) {
  EXPECT_EQ(config_.integer("int", 5, 5), 5);
  EXPECT_EQ(config_.integer("negative", -7, 0), -7);
  EXPECT_EQ(config_.integer("int", 0, 9, 1), 5);
  refuse({"int must be an integer between 6 and 9, got 5"}, [&] { config_.integer("int", 6, 9); });
  refuse({"got -7"}, [&] { config_.integer("negative", 0, 9); });
  refuse({"got 5"}, [&] { config_.integer("int", -9, -1); });
  refuse({"got 18446744073709551615"}, [&] { config_.integer("huge", INT64_MIN, INT64_MAX); });
  refuse({"got 1e+20"}, [&] { config_.integer("bigger", INT64_MIN, INT64_MAX); });
  refuse({"got 5.0"}, [&] { config_.integer("whole_float", 0, 9); });
  refuse({"got \"hi\""}, [&] { config_.integer("text", 0, 9); });
  refuse({"got true"}, [&] { config_.integer("yes", 0, 9); });
  refuse({"got a list of 3"}, [&] { config_.integer("ints", 0, 9, 1); });
}

TEST_F(JsonConfig, Numbers) {
  EXPECT_EQ(config_.number("float", 0, 3), 2.5);
  EXPECT_EQ(config_.number("int", 0, 9), 5.0);
  EXPECT_EQ(config_.number("absent", 0, 1, 0.25), 0.25);
  refuse({"float must be a number between 0 and 1, got 2.5"},
         [&] { config_.number("float", 0, 1); });
  refuse({"got an object"}, [&] { config_.number("object", 0, 1, 0.5); });
}

TEST_F(JsonConfig, NumbersThatAreNotFiniteNeverPass) {
  // Not reachable through parse_json, which refuses them; documents can also be built in code.
  const Json built = {{"x", std::nan("")}, {"y", HUGE_VAL}};
  const JsonObject object(built, "built");
  for (const char* key : {"x", "y"}) {
    expect_error(ErrorKind::kCorruptFile, {"must be a number"},
                 [&] { object.number(key, -HUGE_VAL, HUGE_VAL); });
  }
}

TEST_F(JsonConfig, BooleansAndTexts) {
  EXPECT_TRUE(config_.boolean("yes", false));
  EXPECT_TRUE(config_.boolean("absent", true));
  EXPECT_EQ(config_.text("text"), "hi");
  refuse({"int must be true or false, got 5"}, [&] { config_.boolean("int", true); });
  refuse({"int must be a text, got 5"}, [&] { config_.text("int"); });
  refuse({"int must be a text, got 5"}, [&] { config_.text("int", "fallback"); });
  refuse({"absent must be a text, got nothing"}, [&] { config_.text("absent"); });
}

TEST_F(JsonConfig, Lists) {
  EXPECT_EQ(config_.integers("ints", 1, 3), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(config_.integers("int", 1, 9), (std::vector<int64_t>{5}));
  EXPECT_EQ(config_.texts("texts"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config_.numbers("numbers", 0, 1), (std::vector<double>{0.5, 1}));
  refuse({"ints[2] must be an integer between 1 and 2, got 3"},
         [&] { config_.integers("ints", 1, 2); });
  refuse({"mixed[1] must be an integer", "got \"2\""}, [&] { config_.integers("mixed", 0, 9); });
  refuse({"at most 2 items", "a list of 3"}, [&] { config_.integers("ints", 0, 9, 2); });
  refuse({"absent must be a list of integers", "nothing"},
         [&] { config_.integers("absent", 0, 1); });
  refuse({"mixed[0] must be a text, got 1"}, [&] { config_.texts("mixed"); });
  refuse({"text must be a list of texts"}, [&] { config_.texts("text"); });
  refuse({"numbers[1] must be a number"}, [&] { config_.numbers("numbers", 0, 0.5); });
  refuse({"float must be a list of numbers"}, [&] { config_.numbers("float", 0, 9); });
}

TEST_F(JsonConfig, MustBeAnObject) {
  const Json list = Json::array({1});
  expect_error(ErrorKind::kCorruptFile, {"[c.json]", "JSON object", "a list of 1"},
               [&] { JsonObject(list, "c.json"); });
}

}  // namespace
}  // namespace tintype
