/// Textual inversion: learned vectors that stand in a prompt under a name. Reads the files of
/// strangers (safetensors only), finds the names among token ids. No encoder.
/// Thread-safety: registries are filled by one thread, then only read; matchers are immutable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/tensor.h"
#include "tokenizers/clip_tokenizer.h"
#include "weights/weights.h"

namespace tintype {

/// Which encoder's vectors are wanted of a file that holds both of SDXL's.
enum class EmbeddingSlot {
  kFirst,   ///< "clip_l"
  kSecond,  ///< "clip_g"
};

struct TextEmbedding {
  std::string name;                  ///< the file's name without its suffix
  std::vector<std::string> aliases;  ///< the tensor's name where it is one's own ("<cat-toy>")
  int64_t vectors = 0;
  std::vector<float> values;  ///< [vectors, width]
};

/// Whether a name could stand in one of some texts, whatever the rules that find it there: compared
/// normalized and without white space. Never a wrong no; a wrong yes only costs reading a file.
class MentionedNames {
 public:
  /// Of texts above this in total, every name is said to stand in them.
  static constexpr size_t kMaxBytes = 1u << 20;

  explicit MentionedNames(const std::vector<std::string_view>& texts);
  bool may_hold(std::string_view name) const;

 private:
  bool everything_ = false;
  std::string texts_;
};

/// The embeddings that one encoder may meet in a prompt.
class EmbeddingRegistry {
 public:
  /// More vectors than this leave no room for words.
  static constexpr int64_t kMaxVectors = 75;
  /// Bound on the memory of all vectors together, and on the files of a folder.
  static constexpr size_t kMaxBytes = 256u << 20;
  static constexpr size_t kMaxFilesPerFolder = 10'000;

  struct Options {
    int64_t width = 0;  ///< E of the encoder
    EmbeddingSlot slot = EmbeddingSlot::kFirst;
    /// When set, files with other names are checked by their header and not kept.
    std::optional<MentionedNames> mentioned = {};
  };
  explicit EmbeddingRegistry(Options options) : options_(std::move(options)) {}

  /// Reads one file: keys clip_l and clip_g (SDXL), else emb_params (A1111), else a single tensor
  /// under its token's name (diffusers); [E] or [n,E], f32, f16 or bf16.
  /// throws kNotFound, kIo, kCorruptFile; kUnsupported: pickled, another width, another form;
  ///        kInvalidArgument: the name is taken; kOutOfMemory: beyond kMaxBytes
  void add_file(const std::filesystem::path& file);
  /// Every file of a folder (not of folders inside). People keep those of all families in one
  /// folder: what add_file refuses is noted in skipped(), where its name may be mentioned.
  /// throws kNotFound, kIo; kUnsupported: more than kMaxFilesPerFolder
  void add_folder(const std::filesystem::path& folder);
  /// add_folder or add_file.
  void add(const std::filesystem::path& path);

  const std::vector<TextEmbedding>& embeddings() const { return embeddings_; }
  /// By name or alias; null when there is none.
  const TextEmbedding* find(std::string_view name) const;
  size_t index_of(const TextEmbedding& embedding) const {
    return static_cast<size_t>(&embedding - embeddings_.data());
  }
  std::span<const float> vector(size_t embedding, int64_t index) const;
  /// Why files of folders were left out.
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  const TensorSource::Entry& pick(const TensorSource& source, TextEmbedding& embedding) const;
  bool is_mentioned(const TextEmbedding& embedding) const;

  Options options_;
  size_t bytes_ = 0;
  std::vector<TextEmbedding> embeddings_;
  std::map<std::string, size_t, std::less<>> names_;
  std::vector<std::string> skipped_;
};

/// Embeddings as further tokens, which is how diffusers has them: a name is found wherever it
/// stands, inside a word too, in any letter case; of names that begin at one place the longest.
/// `name_2` is the third vector alone. Immutable.
class EmbeddingTokens {
 public:
  /// Borrows nothing.
  EmbeddingTokens(const EmbeddingRegistry& registry, const ClipTokenizer& tokenizer);

  /// Gives names the ids after the vocabulary's, one for each vector, in the registry's order.
  const ClipTokenizer& tokenizer() const { return tokenizer_; }
  struct Vectors {
    size_t embedding;
    int64_t first, count;  ///< vectors first..first+count-1
  };
  /// What an id stands for; none for the tokenizer's own.
  std::optional<Vectors> of(int32_t id) const;
  int32_t id_of(size_t embedding, int64_t vector) const {
    return first_ids_[embedding] + static_cast<int32_t>(vector);
  }

 private:
  std::vector<int32_t> first_ids_;  // and at the end, the first that is no embedding's
  ClipTokenizer tokenizer_;
};

/// Finds embeddings among the ids of a text, as AUTOMATIC1111 does: `name` (or `embedding:name`)
/// tokenizes to a series of ids; where it stands, the longest wins. A whole word therefore, in any
/// letter case.
class EmbeddingMatcher {
 public:
  /// Borrows nothing.
  EmbeddingMatcher(const EmbeddingRegistry& registry, const ClipTokenizer& tokenizer);

  struct Match {
    size_t embedding;  ///< index in the registry
    size_t length;     ///< ids that its name takes
  };
  std::optional<Match> at(std::span<const int32_t> ids, size_t position) const;

 private:
  struct Pattern {
    std::vector<int32_t> ids;
    size_t embedding;
  };
  std::map<int32_t, std::vector<Pattern>> by_first_id_;  // longest first
};

}  // namespace tintype
