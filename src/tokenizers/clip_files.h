/// Reads the files of a CLIP tokenizer folder, written by strangers, into checked tables. No text
/// rules, no encoding. No state, thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tokenizers/bpe.h"

namespace tintype {

/// A token that is found verbatim in the text and stands for itself.
struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool normalized = false;  ///< looked for after normalization, so in any letter case
  bool operator==(const AddedToken&) const = default;
};

/// Bounds of what is read, from whichever file. CLIP has 49408 tokens and 48894 merges; the largest
/// vocabularies in use have about 260000.
inline constexpr size_t kMaxVocabulary = 1'000'000;
inline constexpr size_t kMaxMerges = 1'000'000;
inline constexpr size_t kMaxAddedTokens = 256;
inline constexpr size_t kMaxAddedTokenBytes = 1024;  ///< each is sought at every place of a prompt
inline constexpr int64_t kMaxTokenWindow = 65536;

/// Everything that the files say; all ids lie in 0..vocabulary_size-1.
struct ClipFiles {
  int64_t vocabulary_size = 0;
  BytePairEncoder::Alphabet alphabet{};
  std::vector<BpeMerge> merges;
  std::vector<AddedToken> added_tokens;  ///< at most 256, each content once, none empty
  int32_t bos_id = 0, eos_id = 0, pad_id = 0;
  int64_t window = 77;
};

/// Vocabulary and merges come from vocab.json and merges.txt; when both are absent, from
/// tokenizer.json. Added and special tokens follow the reference's precedence: added_tokens_decoder
/// of tokenizer_config.json; without it special_tokens_map.json over tokenizer_config.json, and
/// tokenizer.json's added_tokens for how they match.
/// throws kNotFound, kIo, kCorruptFile; kUnsupported: an option that would change the ids and that
///        no published checkpoint uses
/// source  transformers 5.x tokenization_utils_base.py (_from_pretrained),
///         tokenization_utils_tokenizers.py (__init__)
ClipFiles read_clip_files(const std::filesystem::path& folder);

}  // namespace tintype
