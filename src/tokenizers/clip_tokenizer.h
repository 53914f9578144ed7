/// CLIP's byte-pair tokenizer, exactly as transformers' CLIPTokenizer. Immutable after load,
/// thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tintype {

struct ClipFiles;

struct ClipTokens {
  std::vector<int32_t> ids;  ///< `window` ids: BOS, words, EOS, padding
  bool truncated = false;    ///< the text had more words than fit
};

class ClipTokenizer {
 public:
  /// Reads vocab.json, merges.txt (or tokenizer.json when both are absent), special_tokens_map.json
  /// and tokenizer_config.json of a diffusers `tokenizer/` folder; read_clip_files says how.
  /// throws kNotFound, kIo, kCorruptFile, kUnsupported
  static ClipTokenizer load(const std::filesystem::path& folder);
  /// The vocabulary that the library holds: what loading SD 1.5's tokenizer folder gives.
  static ClipTokenizer openai();
  /// From what such files say, and that again.
  static ClipTokenizer from_files(ClipFiles files);
  const ClipFiles& files() const;

  /// Special tokens written out in the text become their ids, also the "!" that pads SD 2.x.
  /// Word pieces only, no BOS/EOS/padding. Any bytes are accepted; broken UTF-8 becomes U+FFFD.
  std::vector<int32_t> encode(std::string_view text) const;
  /// padding="max_length", truncation=True, as the reference pipelines call it.
  ClipTokens encode_window(std::string_view text) const;

  /// The same tokenizer with another padding, as if its files named it. The padding token of one
  /// byte, when written out, then also stands for itself: of OpenCLIP's, "!" is 0 and not 256.
  /// throws kInvalidArgument: no such id
  ClipTokenizer with_pad_id(int32_t id) const;

  /// A text and the id that it becomes.
  struct AddedText {
    std::string text;
    int32_t id;
  };
  /// The same tokenizer that also finds these texts in the normalized text, as the reference's
  /// add_tokens: the leftmost one, of those the longest, inside words too and in any letter case.
  /// Of equal texts the first counts. vocabulary_size() stays, whatever the ids.
  ClipTokenizer with_added_texts(const std::vector<AddedText>& added) const;

  int64_t vocabulary_size() const;
  int64_t window() const;  ///< model_max_length, 77 for CLIP
  int32_t bos_id() const;
  int32_t eos_id() const;
  int32_t pad_id() const;

 private:
  struct Tables;
  explicit ClipTokenizer(std::shared_ptr<const Tables> tables);
  std::shared_ptr<const Tables> tables_;
};

}  // namespace tintype
