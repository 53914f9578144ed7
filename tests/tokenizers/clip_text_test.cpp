#include "tokenizers/clip_text.h"

#include <gtest/gtest.h>

#include "tokenizers/unicode_tables.h"

namespace tintype {
namespace {

std::string normalized(std::string_view text) {
  return encode_utf8(clip_normalize(decode_utf8(text)));
}

std::vector<std::string> words(std::string_view text) {
  const std::u32string code_points = clip_normalize(decode_utf8(text));
  std::vector<std::string> out;
  for (const auto word : clip_words(code_points)) out.push_back(encode_utf8(word));
  return out;
}

TEST(DecodeUtf8, EveryScalarValueSurvivesTheRoundTrip) {
  std::u32string all;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xD800 || c >= 0xE000) all.push_back(c);
  }
  EXPECT_TRUE(decode_utf8(encode_utf8(all)) == all);
}

TEST(DecodeUtf8, EachMaximalBrokenPartBecomesOneReplacement) {
  const auto replaced = [](std::string_view bytes) { return decode_utf8(bytes); };
  EXPECT_EQ(replaced("a\x80z"), U"a\uFFFDz");
  EXPECT_EQ(replaced("\xC3"), U"\uFFFD");
  EXPECT_EQ(replaced("\xE2\x82z"), U"\uFFFDz");
  EXPECT_EQ(replaced("\xF0\x9F\x98"), U"\uFFFD");
  EXPECT_EQ(replaced("\xC0\xAF"), U"\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(replaced("\xE0\x80\xAF"), U"\uFFFD\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(replaced("\xED\xA0\x80"), U"\uFFFD\uFFFD\uFFFD");            // surrogate
  EXPECT_EQ(replaced("\xF4\x90\x80\x80"), U"\uFFFD\uFFFD\uFFFD\uFFFD");  // beyond U+10FFFF
  EXPECT_EQ(replaced("\xE2\xE2\x82\xAC"), U"\uFFFD\u20AC");
}

TEST(ClipNormalize, ComposesThenCollapsesThenLowers) {
  EXPECT_EQ(normalized("CAFE\u0301 \t\u3000X"), "caf\u00e9 x");
  EXPECT_EQ(normalized("\u212A \u212B \u2126"), "k \u00e5 \u03c9");
  EXPECT_EQ(normalized("\u0130"), "i\u0307");
  EXPECT_EQ(normalized("\u03A3\u03A3"), "\u03c3\u03c3") << "no final sigma";
  EXPECT_EQ(normalized("q\u0307\u0323"), "q\u0323\u0307") << "canonical order";
  EXPECT_EQ(normalized("\u0958"), "\u0915\u093c") << "excluded from composition";
}

TEST(ClipNormalize, HangulComposesButNotAcrossAMark) {
  EXPECT_EQ(normalized("\u1100\u1161\u11A8"), "\uAC01");
  EXPECT_EQ(normalized("\u1100\u0301\u1161"), "\u1100\u0301\u1161");
  EXPECT_EQ(normalized("\uAC00\u11A7"), "\uAC00\u11A7") << "U+11A7 is no final consonant";
}

TEST(ClipNormalize, CharactersNewerThanTheReferencesUnicodeStayAsTheyAre) {
  EXPECT_EQ(normalized("\U00011935\U00011930"), "\U00011935\U00011930");  // composes in 13.0
  EXPECT_EQ(normalized("a\u1ABF\u0323"), "a\u1ABF\u0323") << "a mark since 13.0: no reordering";
}

TEST(ClipNormalize, MillionCombiningMarksInReverseOrderFinish) {
  std::u32string text(U"a");
  for (int i = 0; i < 1 << 19; ++i) text += U"\u0345\u0334";  // classes 240 and 1
  const std::u32string out = clip_normalize(text);
  ASSERT_EQ(out.size(), text.size());
  EXPECT_EQ(out[1], U'\u0334');
  EXPECT_EQ(out.back(), U'\u0345');
}

TEST(ClipWords, LettersRunDigitsStandAloneSignsRun) {
  EXPECT_EQ(words("Hello, world!! 42x"),
            (std::vector<std::string>{"hello", ",", "world", "!!", "4", "2", "x"}));
  EXPECT_EQ(words(" \n "), std::vector<std::string>{});
  EXPECT_EQ(words("a\u200Bb"), (std::vector<std::string>{"a", "\u200b", "b"})) << "not a space";
}

TEST(ClipWords, ContractionsAreCutAlsoInsideWordsAndInUpperCase) {
  EXPECT_EQ(words("It'S we'LL"), (std::vector<std::string>{"it", "'s", "we", "'ll"}));
  EXPECT_EQ(words("'street"), (std::vector<std::string>{"'s", "treet"}));
  EXPECT_EQ(words("!'s"), (std::vector<std::string>{"!'", "s"})) << "the sign came first";
}

TEST(ClipWords, SpecialLiteralInOtherCaseIsCutAtItsBars) {
  EXPECT_EQ(words("<|ENDOFTEXT|>!!"), (std::vector<std::string>{"<|", "endoftext", "|>", "!!"}));
  EXPECT_EQ(words("<|other|>!!"), (std::vector<std::string>{"<|", "other", "|>!!"}));
}

TEST(UnicodeTables, AreSortedDisjointAndOfTheReferencesSize) {
  const auto count = [](std::span<const unicode::Range> ranges) {
    size_t members = 0;
    char32_t end = 0;  // one past the last range
    for (const auto& range : ranges) {
      EXPECT_TRUE(range.first >= end && range.last >= range.first)
          << static_cast<uint32_t>(range.first);
      members += range.last - range.first + 1;
      end = range.last + 1;
    }
    return members;
  };
  EXPECT_EQ(count(unicode::kLetters), 141028u);  // Unicode 16
  EXPECT_EQ(count(unicode::kNumbers), 1911u);
  EXPECT_GT(count(unicode::kComposable), 13232u);  // all that decompose, and their parts
  size_t lowered = 0;
  for (char32_t c = 0; c < 0x110000; ++c) lowered += unicode::lower_case(c) != c ? 1 : 0;
  EXPECT_EQ(lowered, 1488u);  // Unicode 17
}

}  // namespace
}  // namespace tintype
