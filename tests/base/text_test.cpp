#include "base/text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tintype {
namespace {

using namespace std::string_literals;

TEST(NearestName, FindsTheClosestOfSeveral) {
  const std::vector<std::string> names = {"ddim", "euler_a", "euler", "pndm", "dpmpp_2m"};
  EXPECT_EQ(nearest_name("eulr", names), "euler");
  EXPECT_EQ(nearest_name("eulre", names), "euler");  // neighbours swapped: one edit
  EXPECT_EQ(nearest_name("euler_b", names), "euler_a");
  EXPECT_EQ(nearest_name("ddm", names), "ddim");
  EXPECT_EQ(nearest_name("dpmpp2m", names), "dpmpp_2m");
  EXPECT_EQ(nearest_name("pndm", names), "pndm");
}

TEST(NearestName, IsEmptyWhenMoreThanAThirdDiffers) {
  const std::vector<std::string> names = {"abcdef"};
  EXPECT_EQ(nearest_name("abcdxy", names), "abcdef");  // two of six
  EXPECT_EQ(nearest_name("abcxyz", names), "");        // three of six
  EXPECT_EQ(nearest_name("abcd", names), "abcdef");
  EXPECT_EQ(nearest_name("abc", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("abcdef", {}), "");
}

TEST(NearestName, PrefersTheFirstOfEquals) {
  const std::vector<std::string> names = {"layer.1.weight", "layer.2.weight"};
  EXPECT_EQ(nearest_name("layer.3.weight", names), "layer.1.weight");
}

TEST(NearestName, CountsEveryKindOfEdit) {
  // The band of the distance matrix must not lose paths that leave the diagonal.
  const std::vector<std::string> names = {"down_blocks.0.resnets.0.norm1.weight"};
  EXPECT_EQ(nearest_name("blocks.0.resnets.0.norm1.weight.down", names), names[0]);
  EXPECT_EQ(nearest_name("xdown_blocks.0.resnets.0.norm1.weigh", names), names[0]);
}

TEST(Printable, KeepsOrdinaryText) {
  EXPECT_EQ(printable("a/b c.safetensors"), "a/b c.safetensors");
  EXPECT_EQ(printable("naïve 画 🖼"), "naïve 画 🖼");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, EscapesWhatATerminalObeys) {
  EXPECT_EQ(printable("a\nb\x1b[2J\x7f"), "a\\x0ab\\x1b[2J\\x7f");
  EXPECT_EQ(printable("a\0b"s), "a\\x00b");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");           // CSI as one character
  EXPECT_EQ(printable("\xe2\x80\xae"), "\\xe2\\x80\\xae");  // right-to-left override
}

TEST(Printable, EscapesBrokenUtf8) {
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("\xc3"), "\\xc3");                    // cut off
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");  // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(printable("\xf0\x90\x80"), "\\xf0\\x90\\x80");
  EXPECT_EQ(printable("\x80z"), "\\x80z");
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdef", 5), "abcde...");
  EXPECT_EQ(printable("aé", 2), "a...");
  EXPECT_EQ(printable("a\n", 4), "a...");
  EXPECT_EQ(printable("a", 0), "...");
}

}  // namespace
}  // namespace tintype
