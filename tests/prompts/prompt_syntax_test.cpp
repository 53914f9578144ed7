/// Weights, BREAK and escapes. The published cases of AUTOMATIC1111's parse_prompt_attention, then
/// ours.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/expect_error.h"
#include "prompts/prompt_syntax.h"

namespace tintype {

void PrintTo(const PromptFragment& fragment, std::ostream* out) {
  *out << (fragment.is_break ? "BREAK" : "\"" + fragment.text + "\"") << " " << fragment.weight;
}

namespace {

using Fragments = std::vector<PromptFragment>;
const PromptFragment kBreak{.is_break = true};

PromptFragment text(std::string content, double weight = 1.0) {
  return {.text = std::move(content), .weight = static_cast<float>(weight)};
}

struct Case {
  std::string text;
  Fragments expected;
};

void expect_cases(PromptSyntax syntax, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const Fragments got = parse_fragments(c.text, syntax);
    ASSERT_EQ(got.size(), c.expected.size()) << c.text << ": " << ::testing::PrintToString(got);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].text, c.expected[i].text) << c.text;
      EXPECT_EQ(got[i].is_break, c.expected[i].is_break) << c.text;
      EXPECT_FLOAT_EQ(got[i].weight, c.expected[i].weight) << c.text;
    }
  }
}

TEST(A1111Syntax, PublishedCases) {
  expect_cases(PromptSyntax::kA1111,
               {{"normal text", {text("normal text")}},
                {"an (important) word", {text("an "), text("important", 1.1), text(" word")}},
                {"(unbalanced", {text("unbalanced", 1.1)}},
                {"\\(literal\\]", {text("(literal]")}},
                {"(unnecessary)(parens)", {text("unnecessaryparens", 1.1)}},
                {"a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
                 {text("a "), text("house", 1.5730000000000004), text(" ", 1.1), text("on"),
                  text(" a ", 1.1), text("hill", 0.55), text(", sun, ", 1.1),
                  text("sky", 1.4641000000000006), text(".", 1.1)}}});
}

TEST(A1111Syntax, WeightsAndBrackets) {
  expect_cases(PromptSyntax::kA1111,
               {{"", {text("")}},
                {"()", {text("")}},
                {"[down]", {text("down", 1 / 1.1)}},
                {"[[down]] up", {text("down", 1 / 1.21), text(" up")}},
                {"(word:1.3)", {text("word", 1.3)}},
                {"(word: 1.3 )", {text("word", 1.3)}},
                {"(word:+.5)", {text("word", 0.5)}},
                {"(word:-1)", {text("word", -1)}},
                {"(word:0)", {text("word", 0)}},
                {"(a:b:2)", {text("a:b", 2)}},
                {"((a:2) b:3)", {text("a", 6), text(" b", 3)}},
                {"(word:1.2.3)", {text("word:1.2.3", 1.1)}},
                {"(word:)", {text("word:", 1.1)}},
                {"(word:x)", {text("word:x", 1.1)}},
                {"(word:nan)", {text("word:nan", 1.1)}},
                {"(word:inf)", {text("word:inf", 1.1)}},
                {"(word:1e3)", {text("word:1e3", 1.1)}},
                {"word:1.3)", {text("word:1.3)")}},
                {"a: b", {text("a: b")}},
                {"a) b]", {text("a) b]")}},
                {"(a [b) c]", {text("a ", 1.1), text("b"), text(" c", 1 / 1.1)}},
                {"[(un)]known", {text("unknown")}},  // one word again
                {"\\\\(a\\\\)", {text("\\"), text("a\\", 1.1)}},
                {"a\\b \\", {text("a\\b \\")}},
                {"(a\\:2)", {text("a\\", 2)}},
                {"(w:1" + std::string(400, '0') + ")", {text("w:1" + std::string(400, '0'), 1.1)}},
                {"((w:900000):900000)", {text("w", kMaxPromptWeight)}},
                {"((w:900000):-900000)", {text("w", -kMaxPromptWeight)}}});
}

TEST(A1111Syntax, Break) {
  expect_cases(PromptSyntax::kA1111,
               {{"a BREAK b", {text("a"), kBreak, text("b")}},
                {"BREAK", {kBreak}},
                {"BREAK a\n BREAK\nBREAK", {kBreak, text("a"), kBreak, kBreak}},
                {"(a BREAK b:2) c", {text("a", 2), kBreak, text("b", 2), text(" c")}},
                {"(BREAK)", {kBreak}},
                {"BREAKFAST", {text("BREAKFAST")}},
                {"aBREAK BREAK_ 1BREAK", {text("aBREAK BREAK_ 1BREAK")}},
                {"break", {text("break")}},
                {"éBREAK BREAKé", {text("éBREAK BREAKé")}},
                {"a\uff0cBREAK\uff0cb", {text("a\uff0c"), kBreak, text("\uff0cb")}},
                {"\xff"
                 "BREAK\xe2",
                 {text("\xff"), kBreak, text("\xe2")}}});
}

TEST(ComfySyntax, Cases) {
  expect_cases(PromptSyntax::kComfy,
               {{"", {text("")}},
                {"a (b) c", {text("a "), text("b", 1.1), text(" c")}},
                {"(a:1.2)", {text("a", 1.2)}},
                {"(a: 1.2 )", {text("a", 1.2)}},
                {"((a:1.2) b:1.5)", {text("a", 1.2), text(" b", 1.5)}},  // set, not multiplied
                {"((a) b:1.5)", {text("a", 1.65), text(" b", 1.5)}},
                {"((a))", {text("a", 1.21)}},
                {"(a:b)", {text("a:b", 1.1)}},
                {"(a:b:2)", {text("a:b", 2)}},
                {"(:2)", {text(":2", 1.1)}},
                {"(a:1e1)", {text("a", 10)}},
                {"(a:nan)", {text("a:nan", 1.1)}},
                {"(a:-inf)", {text("a:-inf", 1.1)}},
                {"(a:1e30)", {text("a", kMaxPromptWeight)}},
                {"[a] BREAK", {text("[a] BREAK")}},
                {"\\(a\\) (b\\))", {text("(a) "), text("b)", 1.1)}},
                {"a\\\\b\\", {text("a\\\\b\\")}},
                {"(a", {text("(a")}},
                {"a) (b:2)", {text("a) (b:2)")}},  // the bracket closes the stray one
                {"a) ((b:2)", {text("a) ("), text("b", 2)}},
                {"(a (b:2)", {text("a ", 2), text("(b", 2)}},
                {std::string("(a\0b:2)", 7), {text(std::string("a\0b", 3), 2)}}});
}

TEST(PlainSyntax, EverythingIsText) {
  const std::string all = "(a:2) [b] \\( BREAK \xff";
  EXPECT_EQ(parse_fragments(all, PromptSyntax::kPlain), Fragments{text(all)});
  EXPECT_EQ(parse_fragments("", PromptSyntax::kPlain), Fragments{text("")});
}

TEST(PromptSyntax, TextWithoutSyntaxIsOneFragmentEverywhere) {
  for (const char* plain :
       {"a red apple, best quality", "ÄÖ 雪 🦊", "50% #1 a-b; c: d", " x\t\ny "})
    for (const auto& name : prompt_syntax_names())
      EXPECT_EQ(parse_fragments(plain, parse_prompt_syntax(name)), Fragments{text(plain)}) << name;
}

TEST(PromptSyntax, DeepNesting) {
  constexpr size_t kDepth = 100'000;
  const std::string open(kDepth, '('), close(kDepth, ')');
  const Fragments up = parse_fragments(open + "a" + close + "b", PromptSyntax::kA1111);
  EXPECT_EQ(up, (Fragments{text("a", kMaxPromptWeight), text("b")}));
  const Fragments down = parse_fragments(std::string(kDepth, '[') + "a", PromptSyntax::kA1111);
  ASSERT_EQ(down.size(), 1u);
  EXPECT_EQ(down[0].text, "a");
  EXPECT_GE(down[0].weight, 0);
  std::string joined;
  for (const auto& fragment : parse_fragments(open + "a" + close, PromptSyntax::kComfy)) {
    EXPECT_TRUE(std::isfinite(fragment.weight));
    joined += fragment.text;
  }
  EXPECT_EQ(std::count(joined.begin(), joined.end(), 'a'), 1);
  EXPECT_EQ(std::count(joined.begin(), joined.end(), '('),
            std::count(joined.begin(), joined.end(), ')'));
}

std::string without(const std::string& content, const std::string& marks) {
  std::string out;
  for (const char c : content)
    if (marks.find(c) == std::string::npos) out += c;
  return out;
}

/// What is left of a text without marks, numbers and spaces is what is left of its fragments.
TEST(PromptSyntax, RandomTextsLoseNothing) {
  std::mt19937 random(11);
  const std::string letters = "abBREAK\\()[]:2. \xc3\xa9\xff";
  for (int round = 0; round < 50'000; ++round) {
    std::string content;
    for (size_t i = random() % 20; i > 0; --i) {
      if (random() % 12 == 0)
        content += " BREAK ";
      else
        content += letters[random() % letters.size()];
    }
    for (const PromptSyntax syntax : {PromptSyntax::kA1111, PromptSyntax::kComfy}) {
      std::string joined;
      size_t breaks = 0;
      for (const PromptFragment& fragment : parse_fragments(content, syntax)) {
        ASSERT_TRUE(std::isfinite(fragment.weight)) << content;
        joined += fragment.is_break ? "BREAK" : fragment.text;
        breaks += fragment.is_break;
        ASSERT_FALSE(fragment.is_break && !fragment.text.empty());
      }
      const std::string marks = "()[]\\: 2.";
      ASSERT_EQ(without(joined, marks), without(content, marks)) << content;
      ASSERT_LE(joined.size(), content.size());
      if (syntax == PromptSyntax::kComfy) {
        ASSERT_EQ(breaks, 0u);
      }
    }
  }
}

TEST(PromptSyntax, NamesAreChecked) {
  EXPECT_EQ(parse_prompt_syntax("comfy"), PromptSyntax::kComfy);
  testing::expect_error(ErrorKind::kInvalidArgument,
                        {"plain, a1111, comfy", "comfi", "did you mean"},
                        [] { parse_prompt_syntax("comfi"); });
}

}  // namespace
}  // namespace tintype
