#include "image/png_text.h"

#include <gtest/gtest.h>

namespace tintype {
namespace {

using namespace std::string_literals;

TEST(PngText, RepairKeepsValidUtf8) {
  const std::string text = "a\nb ü € 🍎 \xF4\x8F\xBF\xBF";
  EXPECT_EQ(repair_utf8(text), text);
}

TEST(PngText, RepairReplacesEveryKindOfBrokenByte) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(repair_utf8("a\0b"s), "a" + bad + "b");
  EXPECT_EQ(repair_utf8("\x80x"), bad + "x");                         // continuation alone
  EXPECT_EQ(repair_utf8("\xC0\xAF"), bad + bad);                      // overlong, two bytes
  EXPECT_EQ(repair_utf8("\xE0\x80\xAF"), bad + bad + bad);            // overlong, three bytes
  EXPECT_EQ(repair_utf8("\xED\xA0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(repair_utf8("\xF5\x80\x80\x80"), bad + bad + bad + bad);  // beyond Unicode
  EXPECT_EQ(repair_utf8("x\xE2\x82"), "x" + bad + bad);               // cut off
}

TEST(PngText, Latin1HoldsWhatItCanAndNothingElse) {
  EXPECT_EQ(latin1_from_utf8("Grüße\n\t1"),
            "Gr\xFC\xDF"
            "e\n\t1");
  EXPECT_EQ(latin1_from_utf8(""), "");
  EXPECT_EQ(latin1_from_utf8("€"), std::nullopt);
  EXPECT_EQ(latin1_from_utf8("\x1B[31m"), std::nullopt);
  EXPECT_EQ(latin1_from_utf8("\xC2\x85"), std::nullopt);  // U+0085, a C1 control
  EXPECT_EQ(latin1_from_utf8("\xFF"), std::nullopt);
}

TEST(PngText, Latin1ReturnsAsUtf8) {
  EXPECT_EQ(utf8_from_latin1("Gr\xFC\xDF"
                             "e"),
            "Grüße");
}

TEST(PngText, KeywordsFollowTheSpecification) {
  EXPECT_TRUE(is_png_keyword("parameters"));
  EXPECT_TRUE(is_png_keyword("Creation Time"));
  EXPECT_TRUE(is_png_keyword(std::string(79, 'k')));
  EXPECT_FALSE(is_png_keyword(std::string(80, 'k')));
  EXPECT_FALSE(is_png_keyword(""));
  EXPECT_FALSE(is_png_keyword(" a"));
  EXPECT_FALSE(is_png_keyword("a "));
  EXPECT_FALSE(is_png_keyword("a  b"));
  EXPECT_FALSE(is_png_keyword("a\nb"));
  EXPECT_FALSE(is_png_keyword("é"));
}

}  // namespace
}  // namespace tintype
