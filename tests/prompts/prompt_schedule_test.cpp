/// Prompt editing and alternation. The first table holds the published cases of AUTOMATIC1111's
/// modules/prompt_parser.py; the others were compared with its grammar.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "prompts/prompt_schedule.h"
#include "prompts/prompt_syntax.h"

namespace tintype {
namespace {

using Stretches = std::vector<std::pair<int, std::string>>;

Stretches stretches_of(const std::string& text, int steps) {
  const PromptSchedule schedule = parse_prompt(text, PromptSyntax::kA1111, steps);
  Stretches out;
  for (const auto& stretch : schedule.stretches)
    out.emplace_back(stretch.until_step, schedule.variants[stretch.variant].text);
  return out;
}

/// `texts` in turn, one a step.
Stretches in_turn(const std::vector<std::string>& texts, int steps) {
  Stretches out;
  for (int step = 1; step <= steps; ++step) {
    const std::string& text = texts[static_cast<size_t>(step - 1) % texts.size()];
    if (!out.empty() && out.back().second == text)
      out.back().first = step;
    else
      out.emplace_back(step, text);
  }
  return out;
}

struct Case {
  std::string text;
  Stretches expected;
};

void expect_cases(const std::vector<Case>& cases, int steps) {
  for (const Case& c : cases) EXPECT_EQ(stretches_of(c.text, steps), c.expected) << c.text;
}

TEST(PromptSchedule, PublishedCases) {
  expect_cases({{"test", {{10, "test"}}},
                {"a [b:3]", {{3, "a "}, {10, "a b"}}},
                {"a [b: 3]", {{3, "a "}, {10, "a b"}}},
                {"a [[[b]]:2]", {{2, "a "}, {10, "a [[b]]"}}},
                {"[(a:2):3]", {{3, ""}, {10, "(a:2)"}}},
                {"a [b : c : 1] d", {{1, "a b  d"}, {10, "a  c  d"}}},
                {"a[b:[c:d:2]:1]e", {{1, "abe"}, {2, "ace"}, {10, "ade"}}},
                {"a [unbalanced", {{10, "a [unbalanced"}}},
                {"a [b:.5] c", {{5, "a  c"}, {10, "a b c"}}},
                {"a [{b|d{:.5] c", {{5, "a  c"}, {10, "a {b|d{ c"}}},
                {"((a][:b:c [d:3]", {{3, "((a][:b:c "}, {10, "((a][:b:c d"}}},
                {"[a|(b:1.1)]", in_turn({"a", "(b:1.1)"}, 10)},
                {"[fe|]male", in_turn({"female", "male"}, 10)},
                {"[fe|||]male", in_turn({"female", "male", "male", "male"}, 10)}},
               10);
  const std::string landscape =
      "fantasy landscape with a [mountain:lake:0.25] and [an oak:a christmas tree:0.75]"
      "[ in foreground::0.6][ in background:0.25] [shoddy:masterful:0.5]";
  const std::string lake = "fantasy landscape with a lake and ";
  EXPECT_EQ(stretches_of(landscape, 100),
            (Stretches{{25, "fantasy landscape with a mountain and an oak in foreground shoddy"},
                       {50, lake + "an oak in foreground in background shoddy"},
                       {60, lake + "an oak in foreground in background masterful"},
                       {75, lake + "an oak in background masterful"},
                       {100, lake + "a christmas tree in background masterful"}}));
}

TEST(PromptSchedule, Edits) {
  expect_cases({{"[a::2]b", {{2, "ab"}, {4, "b"}}},
                {"[:3]", {{4, ""}}},
                {"[a:b:-2]", {{4, "b"}}},
                {"[a:b:0]", {{4, "b"}}},
                {"[a:b:1e-1]", {{4, "b"}}},
                {"[a:b:99]", {{4, "a"}}},
                {"[a:b:2.]", {{4, "a"}}},  // a point makes it a fraction
                {"[a:b:1.0]", {{4, "a"}}},
                {"[a:+3]", {{3, ""}, {4, "a"}}},
                {"[a:\n3 ]", {{3, ""}, {4, "a"}}},
                {"[ a:b : 3 ]", {{3, " a"}, {4, "b "}}},
                {"[a:b: .5 ][c::.5]", {{2, "ac"}, {4, "b"}}},
                {"[(embedding:a:1.2):b:2]", {{2, "(embedding:a:1.2)"}, {4, "b"}}},
                {"[a|[b:c:2]]", {{1, "a"}, {2, "b"}, {3, "a"}, {4, "c"}}},
                {"[[a|b]|c]", {{1, "a"}, {2, "c"}, {3, "a"}, {4, "c"}}},
                {"(a [b:2])", {{2, "(a )"}, {4, "(a b)"}}}},
               4);
}

TEST(PromptSchedule, WhatIsNoEditIsText) {
  for (const char* text :
       {"[x [a:b] y:3]", "[a (b:c:3]", "[x:2:3:4]", "[a:b|c:d]",   "[a:b:3 4]",  "[:]",
        "[a::]",         "[]",         "[3]",       "[a [b) c:3]", "a\\[b:3\\]", "[a:b:3\\]",
        "[a:\\:3]",      "a \\",       "\\",        "]",           ")",          "a|b",
        "(a|b)",         "[a:nan]",    "[a:inf]",   "[a:1e999]",   "[a:0x3]",    "[a:.]",
        "[a:]",          "[a:1.2.3]",  ""}) {
    EXPECT_EQ(stretches_of(text, 4), (Stretches{{4, text}})) << text;
  }
  EXPECT_EQ(stretches_of("[a\\:b:3]", 4), (Stretches{{3, ""}, {4, "a\\:b"}}));
  EXPECT_EQ(stretches_of("a|b [c:3]", 4), (Stretches{{3, "a|b "}, {4, "a|b c"}}));
}

TEST(PromptSchedule, FractionsOfTheStepsAreRoundedDown) {
  EXPECT_EQ(stretches_of("[a:b:0.4]", 7), (Stretches{{2, "a"}, {7, "b"}}));
  EXPECT_EQ(stretches_of("[a:b:0.29]", 100), (Stretches{{28, "a"}, {100, "b"}}));  // 28.99...
  EXPECT_EQ(stretches_of("[a:b:0.1]", 5), (Stretches{{5, "b"}}));
}

TEST(PromptSchedule, EachTextIsHeldOnceAndFoundByStep) {
  const PromptSchedule schedule = parse_prompt("[a|b] c", PromptSyntax::kA1111, 1000);
  ASSERT_EQ(schedule.variants.size(), 2u);
  EXPECT_EQ(schedule.stretches.size(), 1000u);
  EXPECT_EQ(schedule.variant_at(0), 0u);
  EXPECT_EQ(schedule.variant_at(1), 1u);
  EXPECT_EQ(schedule.variant_at(998), 0u);
  EXPECT_EQ(schedule.variant_at(5000), 1u);
  EXPECT_EQ(parse_prompt("[a|b]", PromptSyntax::kA1111, -3).stretches.size(), 1u);
}

TEST(PromptSchedule, OtherSyntaxesHaveNoEdits) {
  for (const PromptSyntax syntax : {PromptSyntax::kPlain, PromptSyntax::kComfy}) {
    const PromptSchedule schedule = parse_prompt("[a:b:0.5] [c|d]", syntax, 10);
    ASSERT_EQ(schedule.stretches.size(), 1u);
    EXPECT_EQ(schedule.stretches[0].until_step, 10);
    EXPECT_EQ(schedule.variants[0].text, "[a:b:0.5] [c|d]");
  }
}

TEST(PromptSchedule, DeepNestingIsLinear) {
  constexpr size_t kDepth = 100'000;
  std::string edits(kDepth, '['), open(kDepth, '['), round(kDepth, '(');
  edits += "x";
  for (size_t i = 0; i < kDepth; ++i) edits += ":2]";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(stretches_of(edits, 3), (Stretches{{2, ""}, {3, "x"}}));
  EXPECT_EQ(stretches_of(open, 3), (Stretches{{3, open}}));
  EXPECT_EQ(stretches_of(round + "]", 3), (Stretches{{3, round + "]"}}));
  EXPECT_EQ(stretches_of(open + round + "[a:b:1]", 3),
            (Stretches{{1, open + round + "a"}, {3, open + round + "b"}}));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

/// Without brackets of their own kind no letter may go; with them, each step shows its own letters.
TEST(PromptSchedule, RandomTextsKeepTheirLetters) {
  std::mt19937 random(7);
  const std::string marks = "ab\\()[]:|3.5 ";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (size_t i = random() % 14; i > 0; --i) text += marks[random() % marks.size()];
    const EditedPrompt edited(text, 4);
    const auto letters = [](const std::string& s) {
      return std::count(s.begin(), s.end(), 'a') + std::count(s.begin(), s.end(), 'b');
    };
    std::ptrdiff_t most = 0, sum = 0;
    for (int step = 1; step <= 4; ++step) {
      const std::string at = edited.at(step);
      EXPECT_LE(at.size(), text.size());
      most = std::max(most, letters(at));
      sum += letters(at);
    }
    EXPECT_LE(most, letters(text));
    if (edited.boundaries().size() == 1 && text.find('[') == std::string::npos) {
      EXPECT_EQ(edited.at(1), text);
      EXPECT_EQ(sum, 4 * letters(text));
    }
  }
}

}  // namespace
}  // namespace tintype
