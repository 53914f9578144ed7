/// Tokenizer folders from strangers: each broken one gives one Error that names the file.
#include "tokenizers/clip_files.h"

#include <gtest/gtest.h>

#include "tintype/error.h"
#include "tokenizers/clip_tokenizer.h"
#include "tokenizers/tokenizer_folder.h"

namespace tintype {
namespace {

constexpr const char* kVocab = R"({"a": 0, "b": 1, "ab": 2, "b</w>": 3, "ab</w>": 4,)"
                               R"( "<|startoftext|>": 5, "<|endoftext|>": 6})";
constexpr const char* kMerges = "#version: 0.2\na b\na b</w>\n";

/// A sound folder with one file replaced.
struct BrokenFile {
  const char* name;
  std::string text;
  ErrorKind kind;
  const char* message_part;
};

std::string error_of(const TokenizerFolder& folder, ErrorKind kind) {
  try {
    ClipTokenizer::load(folder.path());
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

void expect_refused(const BrokenFile& broken) {
  SCOPED_TRACE(broken.name + std::string(": ") + broken.text.substr(0, 120));
  TokenizerFolder folder;
  folder.write("vocab.json", kVocab);
  folder.write("merges.txt", kMerges);
  folder.write(broken.name, broken.text);
  const std::string message = error_of(folder, broken.kind);
  EXPECT_NE(message.find(broken.message_part), std::string::npos) << message;
}

TEST(ClipFiles, SmallestSoundFolderLoads) {
  TokenizerFolder folder;
  folder.write("vocab.json", kVocab);
  folder.write("merges.txt", "#version: 0.2\r\na b\r\na b</w>\r\n");
  const ClipTokenizer tokenizer = ClipTokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.encode("AB aab"), (std::vector<int32_t>{4, 0, 4}));
  EXPECT_EQ(tokenizer.encode("z"), std::vector<int32_t>{6}) << "the unknown token";
  EXPECT_EQ(tokenizer.window(), 77);
}

TEST(ClipFiles, MissingFilesAreNamed) {
  TokenizerFolder folder;
  EXPECT_NE(error_of(folder, ErrorKind::kNotFound).find("vocab.json"), std::string::npos);
  folder.write("vocab.json", kVocab);
  EXPECT_NE(error_of(folder, ErrorKind::kNotFound).find("merges.txt"), std::string::npos);
}

TEST(ClipFiles, BrokenVocabulariesAreRefused) {
  const ErrorKind corrupt = ErrorKind::kCorruptFile;
  expect_refused({"vocab.json", "", corrupt, "vocab.json"});
  expect_refused({"vocab.json", R"({"a": 0,)", corrupt, "vocab.json"});
  expect_refused({"vocab.json", "[]", corrupt, "object"});
  expect_refused({"vocab.json", "{}", corrupt, "got 0"});
  expect_refused({"vocab.json", R"({"a": 0, "b": 0})", corrupt, "0 twice"});
  expect_refused({"vocab.json", R"({"a": 0, "b": 2})", corrupt, "between 0 and 1"});
  expect_refused({"vocab.json", R"({"a": -1})", corrupt, "between 0 and 0"});
  expect_refused({"vocab.json", R"({"a": 18446744073709551615})", corrupt, "between 0 and 0"});
  expect_refused({"vocab.json", R"({"a": 0.0})", corrupt, "an integer"});
  expect_refused({"vocab.json", R"({"a": null})", corrupt, "an integer"});
  expect_refused({"vocab.json", R"({"a": 0, "a": 1})", corrupt, "vocab.json"});
  expect_refused({"vocab.json", "{\"a\xff\": 0}", corrupt, "vocab.json"});
  expect_refused({"vocab.json", R"({"a": 0, "b": 1})", corrupt, "<|startoftext|>"});
}

TEST(ClipFiles, BrokenMergesAreRefused) {
  const ErrorKind corrupt = ErrorKind::kCorruptFile;
  expect_refused({"merges.txt", "#version: 0.2\na b\nab\n", corrupt, "line 3"});
  expect_refused({"merges.txt", "a b c\n", corrupt, "line 1"});
  expect_refused({"merges.txt", "a  b\n", corrupt, "line 1"});
  expect_refused({"merges.txt", "a \n", corrupt, "line 1"});
  expect_refused({"merges.txt", "a b\n\n", corrupt, "line 2"});
  expect_refused({"merges.txt", "a z\n", corrupt, "\"z\""});
  expect_refused({"merges.txt", "b a\n", corrupt, "\"ba\""});
  expect_refused({"merges.txt", std::string("a\0b c\n", 6), corrupt, "line 1"});
  expect_refused({"merges.txt", "\xff\xfe b\n", corrupt, "line 1"});
}

TEST(ClipFiles, BrokenConfigsAreRefused) {
  const ErrorKind corrupt = ErrorKind::kCorruptFile;
  const auto config = [](const char* text, ErrorKind kind, const char* part) {
    expect_refused({"tokenizer_config.json", text, kind, part});
  };
  config("7", corrupt, "object");
  config(R"({"model_max_length": 2})", corrupt, "model_max_length");
  config(R"({"model_max_length": -77})", corrupt, "model_max_length");
  config(R"({"model_max_length": 77.5})", corrupt, "model_max_length");
  config(R"({"model_max_length": "77"})", corrupt, "model_max_length");
  config(R"({"model_max_length": NaN})", corrupt, "tokenizer_config.json");
  config(R"({"pad_token": 0})", corrupt, "pad_token");
  config(R"({"pad_token": {"normalized": true}})", corrupt, "content");
  config(R"({"pad_token": "[PAD]"})", corrupt, "[PAD]");
  config(R"({"eos_token": {"content": "ab", "normalized": 1}})", corrupt, "normalized");
  config(R"({"added_tokens_decoder": []})", corrupt, "added_tokens_decoder");
  config(R"({"added_tokens_decoder": {"x": {"content": "a"}}})", corrupt, "added_tokens_decoder");
  config(R"({"added_tokens_decoder": {"99999999999": {"content": "a"}}})", corrupt, "ids");
  config(R"({"added_tokens_decoder": {"0": "a"}})", corrupt, "added_tokens_decoder");
  expect_refused({"special_tokens_map.json", "[1]", corrupt, "special_tokens_map.json"});
  expect_refused({"special_tokens_map.json", R"({"bos_token": []})", corrupt, "bos_token"});
}

TEST(ClipFiles, OptionsThatWouldChangeTheIdsAreRefusedNotIgnored) {
  const auto config = [](const char* text, const char* part) {
    expect_refused({"tokenizer_config.json", text, ErrorKind::kUnsupported, part});
  };
  config(R"({"tokenizer_class": "T5Tokenizer"})", "T5Tokenizer");
  config(R"({"padding_side": "left"})", "padding_side");
  config(R"({"truncation_side": "left"})", "truncation_side");
  config(R"({"split_special_tokens": true})", "split_special_tokens");
  config(R"({"add_bos_token": true})", "add_eos_token");
  config(R"({"pad_token": {"content": "ab", "single_word": true}})", "single_word");
  config(R"({"image_token": "ab"})", "image_token");
  config(R"({"added_tokens_decoder": {"7": {"content": "<cat>"}}})", "<cat>");
  config(R"({"added_tokens_decoder": {"1": {"content": "a"}}})", "\"a\" at id 1");
  expect_refused({"added_tokens.json", R"({"<cat>": 7})", ErrorKind::kUnsupported, "added_tokens"});
}

TEST(ClipFiles, SpecialTokenOfAbsurdLengthIsRefused) {
  const std::string name(2000, 'q');
  TokenizerFolder folder;
  folder.write("vocab.json", R"({"<|startoftext|>": 0, "<|endoftext|>": 1, ")" + name + "\": 2}");
  folder.write("merges.txt", "");
  folder.write("tokenizer_config.json", "{\"pad_token\": \"" + name + "\"}");
  EXPECT_NE(error_of(folder, ErrorKind::kCorruptFile).find("2000"), std::string::npos);
}

TEST(ClipFiles, UnknownWindowMeansSeventySeven) {
  for (const char* length : {"1e30", "1000000000000000019884624838656", "null"}) {
    TokenizerFolder folder;
    folder.write("vocab.json", kVocab);
    folder.write("merges.txt", kMerges);
    folder.write("tokenizer_config.json", std::string("{\"model_max_length\": ") + length + "}");
    EXPECT_EQ(ClipTokenizer::load(folder.path()).window(), 77) << length;
  }
}

TEST(ClipFiles, BrokenTokenizerJsonIsRefused) {
  for (const std::string text :
       {"[]", "{}", R"({"model": []})", R"({"model": {"vocab": {}}})",
        R"({"model": {"vocab": {}, "merges": []}})", R"({"model": {"vocab": [], "merges": []}})",
        R"({"model": {"vocab": {"a": 0}, "merges": 1}})", R"({"added_tokens": {}})",
        R"({"added_tokens": [{"content": "a"}]})", R"({"added_tokens": [{"id": -1}]})"}) {
    SCOPED_TRACE(text);
    TokenizerFolder folder;
    folder.write("tokenizer.json", text);
    EXPECT_NE(error_of(folder, ErrorKind::kCorruptFile).find("tokenizer.json"), std::string::npos);
  }
  const std::string model = std::string(R"({"model": {"vocab": )") + kVocab;
  for (const std::string merges : {"{}", R"(["a"])", R"([["a"]])", R"([["a", 1]])", R"(["a z"])"}) {
    SCOPED_TRACE(merges);
    TokenizerFolder folder;
    folder.write("tokenizer.json", model + R"(, "merges": )" + merges + "}}");
    EXPECT_NE(error_of(folder, ErrorKind::kCorruptFile).find("merges"), std::string::npos);
  }
  TokenizerFolder folder;
  folder.write("tokenizer.json", R"({"model": {"type": "Unigram", "vocab": {}, "merges": []}})");
  EXPECT_NE(error_of(folder, ErrorKind::kUnsupported).find("Unigram"), std::string::npos);
}

TEST(ClipFiles, EveryCutOfASoundFileLoadsOrThrowsError) {
  const std::string vocab = kVocab, merges = kMerges;
  for (size_t length = 0; length < vocab.size(); ++length) {
    TokenizerFolder folder;
    folder.write("vocab.json", vocab.substr(0, length));
    folder.write("merges.txt", merges);
    error_of(folder, ErrorKind::kCorruptFile);
  }
  for (size_t length = 0; length < merges.size(); ++length) {
    TokenizerFolder folder;
    folder.write("vocab.json", vocab);
    folder.write("merges.txt", merges.substr(0, length));
    try {
      ClipTokenizer::load(folder.path());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCorruptFile) << error.what();
    }
  }
}

}  // namespace
}  // namespace tintype
