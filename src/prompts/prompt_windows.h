/// Fragments of a prompt to the encoder's windows of token ids, with a weight for each position.
/// No encoder. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "prompts/prompt_syntax.h"
#include "prompts/textual_inversion.h"
#include "tokenizers/clip_tokenizer.h"

namespace tintype {

/// BOS, up to S-2 words, EOS, padding.
struct PromptWindow {
  std::vector<int32_t> ids;    ///< [S]
  std::vector<float> weights;  ///< [S]; 1 at BOS, EOS and padding
  int64_t words = 0;           ///< positions between BOS and EOS
  bool operator==(const PromptWindow&) const = default;
};

/// One vector of an embedding in place of a token. Its id there is 0 or, with kPlain, the one
/// beyond the vocabulary that diffusers would give it.
struct EmbeddingPlacement {
  int64_t window;
  int64_t position;  ///< in the window, BOS is 0
  size_t embedding;  ///< index in the registry
  int64_t vector;    ///< 0..vectors-1
  bool operator==(const EmbeddingPlacement&) const = default;
};

struct PromptWindows {
  std::vector<PromptWindow> windows;  ///< at least one
  std::vector<EmbeddingPlacement> placements;
  int64_t words = 0;       ///< tokens without BOS, EOS and padding
  bool truncated = false;  ///< words were left out; with PromptSyntax::kPlain only

  bool weighted() const;                   ///< some weight is not 1
  std::vector<int32_t> all_ids() const;    ///< [windows, S]
  std::vector<float> all_weights() const;  ///< [windows, S]
};

struct WindowOptions {
  /// How text is cut. kPlain: one window, the rest is left out (diffusers). kA1111: a new window
  /// begins at BREAK, where one is full, or after a comma shortly before. kComfy: a word of fewer
  /// than 8 tokens moves to the next window as a whole.
  PromptSyntax syntax = PromptSyntax::kA1111;
  int comma_backtrack =
      20;  ///< kA1111: most tokens after a comma that move with a new one; 0: none
  const EmbeddingRegistry* embeddings = nullptr;
};

/// throws kUnsupported: an embedding of more vectors than a window has room for, where it may not
/// be cut (all but kPlain)
PromptWindows make_windows(const ClipTokenizer& tokenizer,
                           const std::vector<PromptFragment>& fragments,
                           const WindowOptions& options = {});

/// The window of an empty text.
PromptWindow empty_window(const ClipTokenizer& tokenizer);
/// Appends empty windows up to `count`.
void pad_to_count(PromptWindows& windows, size_t count, const ClipTokenizer& tokenizer);

}  // namespace tintype
