#include "tokenizers/clip_tokenizer.h"

#include "base/check.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "tokenizers/bpe.h"
#include "tokenizers/clip_files.h"
#include "tokenizers/clip_text.h"
#include "tokenizers/clip_vocabulary.h"

namespace tintype {

namespace {

/// Finds tokens that stand for themselves: the leftmost one, of those the longest.
class TokenFinder {
 public:
  struct Match {
    size_t begin, length;  // length 0: none
    int32_t id;
  };

  void add(std::u32string pattern, int32_t id) {
    if (!pattern.empty()) patterns_.push_back({std::move(pattern), id});
  }

  /// To be called after the last add.
  void sort() {
    std::stable_sort(patterns_.begin(), patterns_.end(), [](const Pattern& a, const Pattern& b) {
      return a.text.size() > b.text.size();
    });
    for (const Pattern& pattern : patterns_) {
      if (!contains_first(pattern.text[0])) first_letters_.push_back(pattern.text[0]);
    }
  }

  Match next(std::u32string_view text) const {
    for (size_t i = 0; i < text.size(); ++i) {
      if (!contains_first(text[i])) continue;
      for (const Pattern& pattern : patterns_) {
        if (text.substr(i).starts_with(pattern.text)) return {i, pattern.text.size(), pattern.id};
      }
    }
    return {text.size(), 0, 0};
  }

 private:
  struct Pattern {
    std::u32string text;
    int32_t id;
  };

  bool contains_first(char32_t c) const { return first_letters_.find(c) != std::u32string::npos; }

  std::vector<Pattern> patterns_;  // longest first
  std::u32string first_letters_;
};

}  // namespace

struct ClipTokenizer::Tables {
  explicit Tables(ClipFiles from) : files(std::move(from)), words(files.alphabet, files.merges) {
    for (const AddedToken& token : files.added_tokens) {
      const std::u32string content = decode_utf8(token.content);
      if (token.normalized) {
        in_normalized_text.add(clip_normalize(content), token.id);
      } else {
        in_raw_text.add(content, token.id);
      }
    }
    in_raw_text.sort();
    in_normalized_text.sort();
  }

  /// Ids of text that holds no verbatim token. Each such piece is normalized on its own: a
  /// combining mark right after a token does not reach across it.
  void encode_piece(std::u32string_view piece, std::vector<int32_t>& ids) const {
    const std::u32string normalized = clip_normalize(piece);
    for (std::u32string_view rest = normalized; !rest.empty();) {
      const TokenFinder::Match match = in_normalized_text.next(rest);
      for (const std::u32string_view word : clip_words(rest.substr(0, match.begin))) {
        words.encode_word(encode_utf8(word), ids);
      }
      if (match.length > 0) ids.push_back(match.id);
      rest.remove_prefix(match.begin + match.length);
    }
  }

  ClipFiles files;
  TokenFinder in_raw_text, in_normalized_text;
  BytePairEncoder words;
};

ClipTokenizer::ClipTokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}

ClipTokenizer ClipTokenizer::load(const std::filesystem::path& folder) {
  return ClipTokenizer(std::make_shared<const Tables>(read_clip_files(folder)));
}

ClipTokenizer ClipTokenizer::openai() {
  return ClipTokenizer(std::make_shared<const Tables>(openai_clip_files()));
}

ClipTokenizer ClipTokenizer::from_files(ClipFiles files) {
  return ClipTokenizer(std::make_shared<const Tables>(std::move(files)));
}

const ClipFiles& ClipTokenizer::files() const { return tables_->files; }

std::vector<int32_t> ClipTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  const std::u32string code_points = decode_utf8(text);
  for (std::u32string_view rest = code_points; !rest.empty();) {
    const TokenFinder::Match match = tables_->in_raw_text.next(rest);
    tables_->encode_piece(rest.substr(0, match.begin), ids);
    if (match.length > 0) ids.push_back(match.id);
    rest.remove_prefix(match.begin + match.length);
  }
  return ids;
}

ClipTokens ClipTokenizer::encode_window(std::string_view text) const {
  const auto window = static_cast<size_t>(tables_->files.window);
  const std::vector<int32_t> words = encode(text);
  const size_t kept = std::min(words.size(), window - 2);
  ClipTokens tokens;
  tokens.ids.reserve(window);
  tokens.ids.push_back(tables_->files.bos_id);
  tokens.ids.insert(tokens.ids.end(), words.begin(),
                    words.begin() + static_cast<std::ptrdiff_t>(kept));
  tokens.ids.push_back(tables_->files.eos_id);
  tokens.ids.resize(window, tables_->files.pad_id);
  tokens.truncated = kept < words.size();
  return tokens;
}

int64_t ClipTokenizer::vocabulary_size() const { return tables_->files.vocabulary_size; }
int64_t ClipTokenizer::window() const { return tables_->files.window; }
int32_t ClipTokenizer::bos_id() const { return tables_->files.bos_id; }
int32_t ClipTokenizer::eos_id() const { return tables_->files.eos_id; }
ClipTokenizer ClipTokenizer::with_pad_id(int32_t id) const {
  TT_REQUIRE(id >= 0 && id < vocabulary_size(), "tokenizer", "the padding must be a token in 0..",
             vocabulary_size() - 1, ", got ", id);
  auto tables = std::make_shared<Tables>(*tables_);
  ClipFiles& files = tables->files;
  files.pad_id = id;
  for (size_t byte = 0x21; byte < 0x7F; ++byte) {
    if (files.alphabet.inner[byte] != id || id == files.eos_id) continue;
    files.added_tokens.push_back({std::string(1, static_cast<char>(byte)), id, false});
    tables->in_raw_text.add(std::u32string(1, static_cast<char32_t>(byte)), id);
  }
  tables->in_raw_text.sort();
  return ClipTokenizer(std::move(tables));
}

ClipTokenizer ClipTokenizer::with_added_texts(const std::vector<AddedText>& added) const {
  auto tables = std::make_shared<Tables>(*tables_);
  for (const AddedText& token : added)
    tables->in_normalized_text.add(clip_normalize(decode_utf8(token.text)), token.id);
  tables->in_normalized_text.sort();
  return ClipTokenizer(std::move(tables));
}

int32_t ClipTokenizer::pad_id() const { return tables_->files.pad_id; }

}  // namespace tintype
