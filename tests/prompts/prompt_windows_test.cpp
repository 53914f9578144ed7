#include "prompts/prompt_windows.h"

#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "prompts/token_names.h"

namespace tintype {
namespace {

const ClipTokenizer& tokenizer() {
  static const ClipTokenizer loaded =
      ClipTokenizer::load(std::filesystem::path(TT_MODEL) / "tokenizer");
  return loaded;
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

PromptWindows windows_of(const std::string& text, PromptSyntax syntax) {
  return make_windows(tokenizer(), parse_fragments(text, syntax), {.syntax = syntax});
}

/// Numbers of tools/reference/export_prompt_weights.py.
TEST(PromptWindows, EqualTheFixtures) {
  const Json fixture = read_json_file(TT_FIXTURES "/prompts/windows.json");
  int cut = 0;
  for (const Json& c : fixture.at("cases")) {
    SCOPED_TRACE(c.at("name").get<std::string>() + " " + c.at("syntax").get<std::string>());
    std::vector<PromptFragment> fragments;
    for (const Json& f : c.at("fragments")) {
      if (f.is_string())
        fragments.push_back({.is_break = true});
      else
        fragments.push_back({.text = f[0].get<std::string>(), .weight = f[1].get<float>()});
    }
    const PromptWindows got =
        make_windows(tokenizer(), fragments,
                     {.syntax = parse_prompt_syntax(c.at("syntax").get<std::string>()),
                      .comma_backtrack = c.at("backtrack").get<int>()});
    ASSERT_EQ(got.windows.size(), c.at("windows").size());
    for (size_t i = 0; i < got.windows.size(); ++i) {
      EXPECT_EQ(got.windows[i].ids, c.at("windows")[i].at("ids").get<std::vector<int32_t>>()) << i;
      EXPECT_EQ(got.windows[i].weights, c.at("windows")[i].at("weights").get<std::vector<float>>());
    }
    cut += got.windows.size() > 1;
  }
  EXPECT_GT(cut, 20);
}

TEST(PromptWindows, PlainTextThatFitsIsTheTokenizersWindow) {
  for (const std::string& text :
       {std::string("a red apple, best quality"), std::string(),
        std::string("Ünï ❄ 🦊 'll 42!"), std::string("<|endoftext|> a"),
        std::string("\xff\xfe x"), repeated("a ", 75)}) {
    for (const auto& name : prompt_syntax_names()) {
      const PromptWindows got = windows_of(text, parse_prompt_syntax(name));
      ASSERT_EQ(got.windows.size(), 1u) << name;
      EXPECT_EQ(got.windows[0].ids, tokenizer().encode_window(text).ids) << name << " " << text;
      EXPECT_FALSE(got.weighted());
      EXPECT_FALSE(got.truncated);
    }
  }
}

TEST(PromptWindows, PlainSyntaxLeavesOutWhatDoesNotFit) {
  const std::string text = repeated("a (b:1.2) [c] BREAK, ", 20);
  const PromptWindows got = windows_of(text, PromptSyntax::kPlain);
  ASSERT_EQ(got.windows.size(), 1u);
  EXPECT_EQ(got.windows[0].ids, tokenizer().encode_window(text).ids);
  EXPECT_TRUE(got.truncated);
  EXPECT_EQ(got.words, 75);
}

/// Windows hold every token once, in order, whatever the syntax and the cuts.
TEST(PromptWindows, NoTokenIsLostOrDoubled) {
  const std::string text = repeated("red apple, ", 3) + repeated("green tree by the sea, sun ", 40);
  for (const PromptSyntax syntax : {PromptSyntax::kA1111, PromptSyntax::kComfy}) {
    const PromptWindows got = windows_of(text, syntax);
    std::vector<int32_t> words;
    for (const PromptWindow& window : got.windows) {
      ASSERT_EQ(window.ids.size(), 77u);
      ASSERT_EQ(window.weights.size(), 77u);
      EXPECT_EQ(window.ids[0], tokenizer().bos_id());
      const auto end = window.ids.begin() + 1 + window.words;
      EXPECT_EQ(*end, tokenizer().eos_id());
      words.insert(words.end(), window.ids.begin() + 1, end);
    }
    EXPECT_EQ(words, tokenizer().encode(text));
    EXPECT_EQ(static_cast<size_t>(got.words), words.size());
    EXPECT_EQ(got.all_ids().size(), got.windows.size() * 77);
    EXPECT_EQ(got.all_weights().size(), got.windows.size() * 77);
  }
}

TEST(PromptWindows, ArePaddedWithEmptyOnes) {
  PromptWindows b = windows_of("(bad:1.2)", PromptSyntax::kA1111);
  pad_to_count(b, 3, tokenizer());
  ASSERT_EQ(b.windows.size(), 3u);
  EXPECT_EQ(b.windows[2].ids, tokenizer().encode_window("").ids);
  EXPECT_EQ(b.windows[1], empty_window(tokenizer()));
  EXPECT_TRUE(b.weighted());
  pad_to_count(b, 2, tokenizer());
  EXPECT_EQ(b.windows.size(), 3u) << "never fewer";
}

TEST(TokenNames, ReadLikeTheVocabulary) {
  const auto folder = std::filesystem::path(TT_MODEL) / "tokenizer";
  const TokenNames names = TokenNames::load(folder);
  const Json vocabulary = read_json_file(folder / "vocab.json");
  int ascii = 0;
  for (const auto& [text, id] : vocabulary.items()) {
    bool plain = true;
    for (const char c : text) plain &= c > 0x20 && c < 0x7F && c != '\\';
    if (!plain) continue;
    EXPECT_EQ(names.of(id.get<int32_t>()), text);
    ++ascii;
  }
  EXPECT_GT(ascii, 1000);
  EXPECT_EQ(names.of(-1), "?");
  EXPECT_EQ(names.of(1 << 30), "?");
}

}  // namespace
}  // namespace tintype
