#include "tokenizers/clip_files_json.h"

#include <gtest/gtest.h>

#include "base/expect_error.h"
#include "tokenizers/clip_tokenizer.h"
#include "tokenizers/clip_vocabulary.h"

namespace tintype {
namespace {

ClipFiles read_back(const ClipFiles& files) {
  // Through text, as in a file.
  const Json json = parse_json(to_json(files).dump(), "tables");
  return clip_files_from_json(JsonObject(json, "tables"));
}

void expect_same(const ClipFiles& a, const ClipFiles& b) {
  EXPECT_EQ(a.vocabulary_size, b.vocabulary_size);
  EXPECT_EQ(a.alphabet, b.alphabet);
  EXPECT_EQ(a.merges, b.merges);
  EXPECT_EQ(a.added_tokens, b.added_tokens);
  EXPECT_EQ(a.bos_id, b.bos_id);
  EXPECT_EQ(a.eos_id, b.eos_id);
  EXPECT_EQ(a.pad_id, b.pad_id);
  EXPECT_EQ(a.window, b.window);
}

TEST(ClipFilesJson, ClipsOwnVocabularyIsNamed) {
  const ClipFiles files = openai_clip_files();
  EXPECT_LT(to_json(files).dump().size(), 1000u);
  expect_same(read_back(files), files);
}

TEST(ClipFilesJson, AnotherVocabularyIsWrittenOut) {
  for (const char* model : {"four-level", "sdxl", "sd2-zero-snr"}) {
    const ClipFiles files =
        read_clip_files(std::string(TT_FIXTURES) + "/models/" + model + "/tokenizer");
    EXPECT_TRUE(to_json(files).at("vocabulary").is_object());
    expect_same(read_back(files), files);
  }
}

TEST(ClipFilesJson, AnotherPaddingStaysFound) {
  const ClipTokenizer tokenizer = ClipTokenizer::openai().with_pad_id(0);
  const ClipTokenizer again = ClipTokenizer::from_files(read_back(tokenizer.files()));
  EXPECT_EQ(again.pad_id(), 0);
  EXPECT_EQ(again.encode("a fox! or!two"), tokenizer.encode("a fox! or!two"));
  EXPECT_NE(again.encode("a fox!"), ClipTokenizer::openai().encode("a fox!"));
}

TEST(ClipFilesJson, IdsOutOfRangeAreRefused) {
  const auto refused = [](const char* part, const auto& change) {
    Json json = to_json(read_clip_files(std::string(TT_FIXTURES) + "/models/sdxl/tokenizer"));
    change(json);
    testing::expect_error(ErrorKind::kCorruptFile, {part},
                          [&] { clip_files_from_json(JsonObject(json, "tables")); });
  };
  refused("vocabulary", [](Json& j) { j["vocabulary"] = "other"; });
  refused("vocabulary", [](Json& j) { j.erase("vocabulary"); });
  refused("size", [](Json& j) { j["vocabulary"]["size"] = 0; });
  refused("inner", [](Json& j) { j["vocabulary"]["inner"][3] = 1 << 20; });
  refused("last", [](Json& j) { j["vocabulary"]["last"].erase(0); });
  refused("merges", [](Json& j) { j["vocabulary"]["merges"][0] = -1; });
  refused("triples", [](Json& j) { j["vocabulary"]["merges"].push_back(0); });
  refused("bos_id", [](Json& j) { j["bos_id"] = -1; });
  refused("pad_id", [](Json& j) { j["pad_id"] = 1 << 20; });
  refused("window", [](Json& j) { j["window"] = 1; });
  refused("added_tokens", [](Json& j) { j["added_tokens"] = 1; });
  refused("content", [](Json& j) { j["added_tokens"][0]["content"] = ""; });
  refused("id", [](Json& j) { j["added_tokens"][0]["id"] = 1 << 20; });
}

}  // namespace
}  // namespace tintype
