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
#include <vector>

#include "tensor/tensor.h"
#include "tokenizers/clip_tokenizer.h"

namespace tintype {

/// What an encoder shall use at one position in place of its own token embedding.
struct TokenOverride {
  int64_t row;                    ///< of the batch of windows
  int64_t position;               ///< 0..S-1
  std::span<const float> vector;  ///< [E], owned by the registry
};

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

/// The embeddings that one encoder may meet in a prompt.
class EmbeddingRegistry {
 public:
  /// More vectors than this leave no room for words.
  static constexpr int64_t kMaxVectors = 75;

  struct Options {
    int64_t width = 0;  ///< E of the encoder
    EmbeddingSlot slot = EmbeddingSlot::kFirst;
  };
  explicit EmbeddingRegistry(Options options) : options_(options) {}

  /// Reads one file: keys clip_l and clip_g (SDXL), else emb_params (A1111), else a single tensor
  /// under its token's name (diffusers); [E] or [n,E], f32, f16 or bf16.
  /// throws kNotFound, kIo, kCorruptFile; kUnsupported: pickled, another width, another form;
  ///        kInvalidArgument: the name is taken
  void add_file(const std::filesystem::path& file);
  /// Every file of a folder (not of folders inside). People keep those of all families in one
  /// folder: what add_file refuses is noted in skipped().
  /// throws kNotFound, kIo
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
  Tensor pick(const class TensorSource& source, TextEmbedding& embedding) const;

  Options options_;
  std::vector<TextEmbedding> embeddings_;
  std::map<std::string, size_t, std::less<>> names_;
  std::vector<std::string> skipped_;
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
