#include "prompts/textual_inversion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/expect_error.h"
#include "base/temporary_folder.h"
#include "prompts/prompt_windows.h"
#include "weights/safetensors_writer.h"

namespace tintype {
namespace {

using testing::expect_error;
using testing::f32_tensor;
using testing::safetensors_file;
using testing::TemporaryFolder;

const ClipTokenizer& tokenizer() {
  static const ClipTokenizer loaded =
      ClipTokenizer::load(std::filesystem::path(TT_MODEL) / "tokenizer");
  return loaded;
}

std::vector<float> counted(int64_t vectors, int64_t width) {
  std::vector<float> values;
  for (int64_t i = 0; i < vectors * width; ++i) values.push_back(static_cast<float>(i));
  return values;
}

std::string embedding_file(const std::string& key, int64_t vectors, int64_t width) {
  return safetensors_file({f32_tensor(key, {vectors, width}, counted(vectors, width))});
}

TEST(EmbeddingRegistry, ReadsEveryForm) {
  const TemporaryFolder folder;
  EmbeddingRegistry registry({.width = 2});
  registry.add_file(folder.write("a1111.safetensors", embedding_file("emb_params", 3, 2)));
  registry.add_file(
      folder.write("cat.safetensors", safetensors_file({f32_tensor("<cat-toy>", {2}, {5, 6})})));
  registry.add_file(folder.write(
      "half.safetensors",
      safetensors_file(
          {{"emb_params", "F16", {1, 2}, testing::bytes_of<uint16_t>({0x3C00, 0xC000})}})));
  registry.add_file(folder.write(
      "brain.safetensors",
      safetensors_file(
          {{"emb_params", "BF16", {1, 2}, testing::bytes_of<uint16_t>({0x3F80, 0x4000})}})));
  ASSERT_EQ(registry.embeddings().size(), 4u);
  EXPECT_EQ(registry.find("a1111")->vectors, 3);
  EXPECT_EQ(registry.vector(0, 2)[1], 5);
  EXPECT_EQ(registry.find("<cat-toy>"), registry.find("cat"));
  EXPECT_EQ(registry.find("half")->values, (std::vector<float>{1, -2}));
  EXPECT_EQ(registry.find("brain")->values, (std::vector<float>{1, 2}));
  EXPECT_EQ(registry.find("emb_params"), nullptr);
  EXPECT_EQ(registry.find("dog"), nullptr);
}

TEST(EmbeddingRegistry, TakesTheEncodersHalfOfAnSdxlFile) {
  const TemporaryFolder folder;
  const auto file = folder.write("xl.safetensors",
                                 safetensors_file({f32_tensor("clip_g", {2, 3}, {1, 2, 3, 4, 5, 6}),
                                                   f32_tensor("clip_l", {2, 2}, {7, 8, 9, 10})}));
  EmbeddingRegistry first({.width = 2, .slot = EmbeddingSlot::kFirst});
  EmbeddingRegistry second({.width = 3, .slot = EmbeddingSlot::kSecond});
  first.add_file(file);
  second.add_file(file);
  EXPECT_EQ(first.vector(0, 1)[0], 9);
  EXPECT_EQ(second.vector(0, 1)[2], 6);

  const auto uneven = folder.write(
      "uneven.safetensors", safetensors_file({f32_tensor("clip_g", {2, 3}, {1, 2, 3, 4, 5, 6}),
                                              f32_tensor("clip_l", {1, 2}, {7, 8})}));
  expect_error(ErrorKind::kCorruptFile, {"equally many", "[2,3]"}, [&] { first.add_file(uneven); });
  const auto half = folder.write("half.safetensors", embedding_file("clip_g", 1, 3));
  expect_error(ErrorKind::kUnsupported, {"clip_l", "only clip_g"}, [&] { first.add_file(half); });
}

TEST(EmbeddingRegistry, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  EmbeddingRegistry registry({.width = 4});
  const auto refused = [&](const char* name, const std::string& bytes, ErrorKind kind,
                           std::initializer_list<std::string_view> parts) {
    const auto file = folder.write(name, bytes);
    expect_error(kind, parts, [&] { registry.add_file(file); });
  };
  refused("wide.safetensors", embedding_file("emb_params", 2, 5), ErrorKind::kUnsupported,
          {"[n,4]", "[2,5]", "family"});
  refused("many.safetensors", embedding_file("emb_params", 76, 4), ErrorKind::kUnsupported,
          {"1..75", "76"});
  refused("none.safetensors", embedding_file("emb_params", 0, 4), ErrorKind::kUnsupported,
          {"got 0"});
  refused("cube.safetensors", safetensors_file({f32_tensor("emb_params", {1, 1, 4}, {1, 2, 3, 4})}),
          ErrorKind::kUnsupported, {"[1,1,4]"});
  refused("lora.safetensors",
          safetensors_file({f32_tensor("lora_up", {1}, {1}), f32_tensor("lora_down", {1}, {1})}),
          ErrorKind::kUnsupported, {"2 readable tensors", "lora_down"});
  refused("ints.safetensors",
          safetensors_file({{"emb_params", "I8", {1, 4}, std::string(4, '\1')}}),
          ErrorKind::kUnsupported, {"i8"});
  refused("long.safetensors",
          safetensors_file({{"emb_params", "I64", {1, 4}, std::string(32, '\1')}}),
          ErrorKind::kUnsupported, {"0 readable"});
  refused("nan.safetensors",
          safetensors_file({f32_tensor("emb_params", {1, 4},
                                       {1, 2, std::numeric_limits<float>::quiet_NaN(), 4})}),
          ErrorKind::kCorruptFile, {"NaN"});
  refused("cut.safetensors", embedding_file("emb_params", 2, 4).substr(0, 60),
          ErrorKind::kCorruptFile, {"cut.safetensors"});
  refused("old.pt", "PK\x03\x04", ErrorKind::kUnsupported, {"old.pt", "safetensors"});
  refused("old.bin", "PK\x03\x04", ErrorKind::kUnsupported, {"old.bin"});
  expect_error(ErrorKind::kNotFound, {"absent"},
               [&] { registry.add(folder.path() / "absent.safetensors"); });
  EXPECT_TRUE(registry.embeddings().empty());
}

TEST(EmbeddingRegistry, AFolderKeepsWhatFitsAndSaysWhatDoesNot) {
  const TemporaryFolder folder;
  folder.write("good.safetensors", embedding_file("emb_params", 1, 4));
  folder.write("other family.safetensors", embedding_file("emb_params", 1, 5));
  folder.write("old.pt", "PK\x03\x04");
  folder.write("notes.txt", "hello");
  EmbeddingRegistry registry({.width = 4});
  registry.add(folder.path());
  ASSERT_EQ(registry.embeddings().size(), 1u);
  EXPECT_EQ(registry.embeddings()[0].name, "good");
  ASSERT_EQ(registry.skipped().size(), 2u);
  EXPECT_NE(registry.skipped()[0].find("old.pt"), std::string::npos);
  EXPECT_NE(registry.skipped()[1].find("other family"), std::string::npos);
  expect_error(ErrorKind::kInvalidArgument, {"good", "again"},
               [&] { registry.add_file(folder.path() / "good.safetensors"); });
  expect_error(ErrorKind::kNotFound, {"missing"},
               [&] { registry.add_folder(folder.path() / "missing"); });
}

/// Two embeddings, one name the beginning of the other.
class EmbeddingInPrompt : public ::testing::Test {
 protected:
  EmbeddingInPrompt() {
    registry_.add_file(folder_.write("red-style.safetensors", embedding_file("emb_params", 3, 2)));
    registry_.add_file(
        folder_.write("red.safetensors", safetensors_file({f32_tensor("<r>", {2}, {50, 60})})));
  }
  PromptWindows windows(const std::string& text, PromptSyntax syntax) const {
    return make_windows(tokenizer(), parse_fragments(text, syntax),
                        {.syntax = syntax, .embeddings = &registry_});
  }
  /// What stands where: "position:embedding.vector".
  static std::string places(const PromptWindows& windows) {
    std::string out;
    for (const auto& p : windows.placements)
      out +=
          cat(out.empty() ? "" : " ", p.window, "/", p.position, ":", p.embedding, ".", p.vector);
    return out;
  }
  TemporaryFolder folder_;
  EmbeddingRegistry registry_{{.width = 2}};
};

TEST_F(EmbeddingInPrompt, NamesAreWholeWordsTheLongestFirst) {
  const auto a = PromptSyntax::kA1111;
  EXPECT_EQ(places(windows("a Red-Style sun", a)), "0/2:0.0 0/3:0.1 0/4:0.2");
  EXPECT_EQ(places(windows("a red sun", a)), "0/2:1.0");
  EXPECT_EQ(places(windows("a (embedding:red-style:1.5)", a)), "0/2:0.0 0/3:0.1 0/4:0.2");
  EXPECT_EQ(places(windows("<r>", a)), "0/1:1.0");
  EXPECT_EQ(places(windows("reddish redder", a)), "");
  EXPECT_EQ(places(windows("a red sun", PromptSyntax::kPlain)), "0/2:1.0");

  const PromptWindows weighted = windows("(a red-style:1.5) sun", a);
  const auto& window = weighted.windows[0];
  EXPECT_EQ(window.words, 5);
  EXPECT_EQ(std::vector<int32_t>(window.ids.begin() + 2, window.ids.begin() + 5),
            (std::vector<int32_t>{0, 0, 0}));
  EXPECT_EQ(std::vector<float>(window.weights.begin(), window.weights.begin() + 6),
            (std::vector<float>{1, 1.5f, 1.5f, 1.5f, 1.5f, 1}));
}

TEST_F(EmbeddingInPrompt, PlainTextFindsNamesAnywhereAsDiffusers) {
  const auto placed = [&](const char* text) { return places(windows(text, PromptSyntax::kPlain)); };
  EXPECT_EQ(placed("infrared's"), places(windows("infra red 's", PromptSyntax::kPlain)));
  EXPECT_NE(placed("infrared's"), "");
  EXPECT_EQ(placed("RED red"), "0/1:1.0 0/2:1.0");
  EXPECT_EQ(placed("a RED-style sun"), "0/2:0.0 0/3:0.1 0/4:0.2") << "the longest name";
  EXPECT_EQ(placed("<R>"), "0/1:1.0");
  EXPECT_EQ(placed("red-style_2 a"), "0/1:0.2") << "one vector by its own name";

  // Ids beyond the vocabulary, in the registry's order, as the reference adds them.
  const auto first = static_cast<int32_t>(tokenizer().vocabulary_size());
  const PromptWindows named = windows("red red-style", PromptSyntax::kPlain);
  EXPECT_EQ(
      std::vector<int32_t>(named.windows[0].ids.begin() + 1, named.windows[0].ids.begin() + 5),
      (std::vector<int32_t>{first + 3, first, first + 1, first + 2}));
  EXPECT_EQ(windows("a sun", PromptSyntax::kPlain).windows[0].ids,
            tokenizer().encode_window("a sun").ids);

  // Cut at the window's end, even inside an embedding.
  std::string text;
  for (int i = 0; i < 74; ++i) text += "a ";
  const PromptWindows cut = windows(text + "red-style", PromptSyntax::kPlain);
  EXPECT_EQ(places(cut), "0/75:0.0");
  EXPECT_TRUE(cut.truncated);
}

TEST(MentionedNames, MissNothingThatATokenizerCouldFind) {
  const MentionedNames names({"a Red-Style house", "by MC. \u212Aelvin  style", "caf\u00E9"});
  for (const char* name : {"red-style", "RED - style", "house", "ouse", "Kelvin style", "mc.kelvin",
                           "cafe\u0301", "a"})
    EXPECT_TRUE(names.may_hold(name)) << name;
  for (const char* name : {"red_style", "houseby", "cafe", "dog"})
    EXPECT_FALSE(names.may_hold(name)) << name;
  const std::string much(MentionedNames::kMaxBytes + 1, 'a');
  EXPECT_TRUE(MentionedNames({much}).may_hold("dog")) << "too much to search through";
}

TEST(EmbeddingRegistry, KeepsOnlyWhatIsMentioned) {
  const TemporaryFolder folder;
  folder.write("cat.safetensors", embedding_file("emb_params", 1, 4));
  folder.write("dog.safetensors", embedding_file("<hound>", 2, 4));
  folder.write("fish.safetensors", embedding_file("emb_params", 1, 4));
  folder.write("cow.safetensors", embedding_file("emb_params", 1, 5));
  folder.write("pig.safetensors", embedding_file("emb_params", 1, 5));
  const MentionedNames mentioned({"A CAT, a <hound> and a cow"});
  EmbeddingRegistry registry({.width = 4, .mentioned = mentioned});
  registry.add(folder.path());
  ASSERT_EQ(registry.embeddings().size(), 2u);
  EXPECT_NE(registry.find("cat"), nullptr);
  EXPECT_NE(registry.find("<hound>"), nullptr);
  ASSERT_EQ(registry.skipped().size(), 1u) << "pig is refused, too, but nobody asked for it";
  EXPECT_NE(registry.skipped()[0].find("cow"), std::string::npos);
  expect_error(ErrorKind::kUnsupported, {"pig", "[n,4]"},
               [&] { registry.add(folder.path() / "pig.safetensors"); });
}

TEST_F(EmbeddingInPrompt, ComfyNeedsThePrefix) {
  const auto c = PromptSyntax::kComfy;
  EXPECT_EQ(places(windows("a red sun", c)), "");
  EXPECT_EQ(places(windows("a embedding:red-style, sun", c)), "0/2:0.0 0/3:0.1 0/4:0.2");
  const PromptWindows comma = windows("embedding:red, a", c);
  EXPECT_EQ(comma.windows[0].words, 3);
  const PromptWindows unknown = windows("embedding:blue", c);
  EXPECT_EQ(unknown.windows[0].ids, tokenizer().encode_window("embedding:blue").ids);
}

TEST_F(EmbeddingInPrompt, IsNotCutAndMovesWithItsComma) {
  std::string text;
  for (int i = 0; i < 73; ++i) text += "a ";
  EXPECT_EQ(places(windows(text + "red-style", PromptSyntax::kA1111)), "1/1:0.0 1/2:0.1 1/3:0.2");
  // a * 70, comma, embedding (3), then one word too many: the embedding goes along.
  text = text.substr(0, 70 * 2) + ", red-style b c";
  const PromptWindows moved = windows(text, PromptSyntax::kA1111);
  EXPECT_EQ(places(moved), "1/1:0.0 1/2:0.1 1/3:0.2");
  EXPECT_EQ(moved.windows[0].words, 71);
}

}  // namespace
}  // namespace tintype
