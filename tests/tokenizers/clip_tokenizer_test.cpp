#include "tokenizers/clip_tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/json.h"
#include "tokenizers/tokenizer_folder.h"

namespace tintype {
namespace {

const std::filesystem::path kFixtures = std::filesystem::path(TT_FIXTURES) / "tokenizers";
const std::filesystem::path kDemo =
    std::filesystem::path(TT_SOURCE_DIR) / "models/tintype-emoji-128/tokenizer";

void append_utf8(unsigned long code, std::string& out) {
  const auto put = [&](unsigned long byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code >= 0x10000) {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
  } else if (code >= 0x800) {
    put(0xE0 | code >> 12);
  }
  put(code >= 0x800 ? 0x80 | (code >> 6 & 0x3F) : 0xC0 | code >> 6);
  put(0x80 | (code & 0x3F));
}

/// Undoes the corpus's \xHH (a byte) and \u{H} (a code point).
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
    } else if (text[i + 1] == 'x') {
      out.push_back(static_cast<char>(std::stoul(std::string(text.substr(i + 2, 2)), nullptr, 16)));
      i += 3;
    } else {
      const size_t end = text.find('}', i);
      append_utf8(std::stoul(std::string(text.substr(i + 3, end - i - 3)), nullptr, 16), out);
      i = end;
    }
  }
  return out;
}

TEST(ClipTokenizer, CorpusHasTheReferencesIds) {
  const ClipTokenizer tokenizer = ClipTokenizer::load(kDemo);
  std::ifstream corpus(kFixtures / "clip_corpus.txt", std::ios::binary);
  std::string line;
  for (int header = 0; header < 2; ++header) std::getline(corpus, line);
  int lines = 0, wrong = 0;
  while (std::getline(corpus, line)) {
    const size_t tab = line.rfind('\t');
    ASSERT_NE(tab, std::string::npos) << line;
    std::istringstream numbers(line.substr(tab + 1));
    const std::vector<int32_t> expected{std::istream_iterator<int32_t>(numbers), {}};
    const std::vector<int32_t> ids = tokenizer.encode(unescape(line.substr(0, tab)));
    ++lines;
    if (ids != expected && ++wrong <= 20) {
      ADD_FAILURE() << "ids differ for: " << line.substr(0, tab) << "\n  expected "
                    << testing::PrintToString(expected) << "\n  got "
                    << testing::PrintToString(ids);
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(lines, 5000);
}

std::vector<int32_t> ids_of(const std::string& text) {
  std::istringstream numbers(text);
  return {std::istream_iterator<int32_t>(numbers), {}};
}

TEST(ClipTokenizer, EmbeddedVocabularyHasTheReferencesIds) {
  const ClipTokenizer tokenizer = ClipTokenizer::openai();
  EXPECT_EQ(tokenizer.vocabulary_size(), 49408);
  EXPECT_EQ(tokenizer.window(), 77);
  EXPECT_EQ(tokenizer.bos_id(), 49406);
  EXPECT_EQ(tokenizer.eos_id(), 49407);
  EXPECT_EQ(tokenizer.pad_id(), 49407);
  const ClipTokenizer open_clip = tokenizer.with_pad_id(0);
  EXPECT_EQ(open_clip.pad_id(), 0);

  std::ifstream corpus(kFixtures / "clip_openai.txt", std::ios::binary);
  std::string line;
  for (int header = 0; header < 2; ++header) std::getline(corpus, line);
  int lines = 0, differing = 0;
  while (std::getline(corpus, line)) {
    const size_t tab = line.find('\t');
    ASSERT_NE(tab, std::string::npos) << line;
    const std::string text = unescape(line.substr(0, tab));
    const size_t second = line.find('\t', tab + 1);
    const std::string ends = line.substr(tab + 1, second - tab - 1);
    const std::string marks = second == std::string::npos ? ends : line.substr(second + 1);
    EXPECT_EQ(tokenizer.encode(text), ids_of(ends)) << line;
    EXPECT_EQ(open_clip.encode(text), ids_of(marks)) << line;
    ++lines;
    differing += ends != marks ? 1 : 0;
  }
  EXPECT_GT(lines, 750);
  EXPECT_GT(differing, 50);
}

TEST(ClipTokenizer, ConfigVariantsHaveTheReferencesIds) {
  const Json data = read_json_file(kFixtures / "clip_variants.json");
  const auto texts = data.at("texts").get<std::vector<std::string>>();
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : data.at("merges")) merges += merge.get<std::string>() + "\n";
  for (const Json& expected : data.at("cases")) {
    SCOPED_TRACE(expected.at("name").get<std::string>());
    TokenizerFolder folder;
    for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
      if (expected.contains(name)) folder.write(name, expected.at(name).dump());
    }
    if (expected.contains("added_tokens")) {
      const Json model = {{"vocab", data.at("vocab")}, {"merges", data.at("merges")}};
      folder.write("tokenizer.json",
                   Json{{"added_tokens", expected.at("added_tokens")}, {"model", model}}.dump());
    } else {
      folder.write("vocab.json", data.at("vocab").dump());
      folder.write("merges.txt", merges);
    }
    const ClipTokenizer tokenizer = ClipTokenizer::load(folder.path());
    EXPECT_EQ(tokenizer.vocabulary_size(), static_cast<int64_t>(data.at("vocab").size()));
    EXPECT_EQ(tokenizer.window(), expected.at("window").get<int64_t>());
    EXPECT_EQ(tokenizer.bos_id(), expected.at("bos").get<int32_t>());
    EXPECT_EQ(tokenizer.eos_id(), expected.at("eos").get<int32_t>());
    EXPECT_EQ(tokenizer.pad_id(), expected.at("pad").get<int32_t>());
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(tokenizer.encode(texts[i]), expected.at("ids")[i].get<std::vector<int32_t>>())
          << texts[i];
    }
    for (size_t i = 0; i < expected.at("windows").size(); ++i) {
      EXPECT_EQ(tokenizer.encode_window(texts[i + 1]).ids,
                expected.at("windows")[i].get<std::vector<int32_t>>())
          << texts[i + 1];
    }
  }
}

TEST(ClipTokenizer, WindowIsBosWordsEosPadding) {
  const ClipTokenizer tokenizer = ClipTokenizer::load(kDemo);
  const int32_t bos = tokenizer.bos_id(), eos = tokenizer.eos_id(), pad = tokenizer.pad_id();
  ASSERT_EQ(tokenizer.window(), 77);
  ASSERT_EQ(tokenizer.vocabulary_size(), 3286);
  ASSERT_EQ(bos, 3284);
  ASSERT_EQ(eos, 3285);

  const ClipTokens empty = tokenizer.encode_window("");
  std::vector<int32_t> expected(77, pad);
  expected[0] = bos;
  expected[1] = eos;
  EXPECT_EQ(empty.ids, expected);
  EXPECT_FALSE(empty.truncated);
}

TEST(ClipTokenizer, TruncationBeginsWithTheSeventySixthWord) {
  const ClipTokenizer tokenizer = ClipTokenizer::load(kDemo);
  const int32_t one = tokenizer.encode("1").at(0), two = tokenizer.encode("2").at(0);

  const ClipTokens full = tokenizer.encode_window(std::string(75, '1'));
  EXPECT_FALSE(full.truncated);
  EXPECT_EQ(full.ids.size(), 77u);
  EXPECT_EQ(full.ids[75], one);
  EXPECT_EQ(full.ids[76], tokenizer.eos_id());

  const ClipTokens cut = tokenizer.encode_window(std::string(75, '1') + "2");
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.ids, full.ids);
  EXPECT_EQ(std::count(cut.ids.begin(), cut.ids.end(), two), 0);
}

TEST(ClipTokenizer, MegabyteOfOneWordFinishes) {
  const ClipTokenizer tokenizer = ClipTokenizer::load(kDemo);
  std::string word;
  for (int i = 0; word.size() < (1u << 20); ++i)
    word += "animalplacefoodheartobjectvehicle"[i % 33];
  const ClipTokens tokens = tokenizer.encode_window(word);
  EXPECT_TRUE(tokens.truncated);
  EXPECT_EQ(tokens.ids.size(), 77u);
  // Marks, brackets and broken bytes without end are no better a weapon.
  for (const std::string_view unit : {"\u0345\u0334", "<|", "<|endoftext|", "'", "\xF0\x9F", " "}) {
    std::string text;
    while (text.size() < (1u << 20)) text += unit;
    EXPECT_EQ(tokenizer.encode_window(text).ids.size(), 77u) << unit;
  }
}

TEST(ClipTokenizer, NulBytesAreText) {
  const ClipTokenizer tokenizer = ClipTokenizer::load(kDemo);
  EXPECT_NE(tokenizer.encode(std::string_view("a\0b", 3)), tokenizer.encode("a"));
}

}  // namespace
}  // namespace tintype
