/// How a model reads a prompt: what `tintype tokens` shows. Public. Plain values; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tintype/adapter.h"
#include "tintype/error.h"

namespace tintype {

struct PromptOptions {
  std::string syntax = "a1111";           ///< "plain" (diffusers), "a1111", "comfy"
  int steps = 20;                         ///< 1..1000; editing and alternation depend on it
  int comma_backtrack = 20;               ///< a1111: tokens after a comma that may move together
  std::filesystem::path embeddings = {};  ///< file or folder of textual inversions; "" is none
  /// Single files only: folder with vocab.json and merges.txt; "" is CLIP's own vocabulary
  std::filesystem::path tokenizer = {};
};

struct PromptToken {
  int32_t id = 0;
  std::string text;  ///< "</w>" ends a word; an embedding is "name[vector]"
  float weight = 1.0f;
};

/// One window of the encoder without its padding.
struct PromptTokenWindow {
  std::vector<PromptToken> tokens;  ///< BOS, words, EOS
  int padding = 0;                  ///< pad tokens after these
};

/// One distinct text of the prompt, with editing and alternation resolved.
struct PromptTokens {
  std::string text;
  std::vector<PromptTokenWindow> windows;
  int64_t words = 0;       ///< tokens without BOS, EOS and padding
  bool truncated = false;  ///< "plain" only: words were left out
};

/// Steps first_step..last_step (1-based, both included) draw with prompts[prompt].
struct PromptStretch {
  int first_step = 1, last_step = 1;
  int prompt = 0;
};

struct PromptDescription {
  std::string syntax;
  int steps = 0;
  std::vector<PromptStretch> schedule;
  std::vector<PromptTokens> prompts;
  std::vector<std::string> skipped_embeddings;  ///< files of the folder left out, and why
  /// Of the prompt's tags (`<lora:ink:0.8>`), which are no part of the texts. Not looked up.
  std::vector<AdapterUse> adapters;
};

/// Reads the tokenizer of a model folder only, or the names in a single file (of SDXL the first
/// text encoder's).
/// throws kInvalidArgument: options, a prompt over 64 KiB, a tag that is none; kNotFound, kIo,
/// kCorruptFile,
///        kUnsupported: the tokenizer's or the embeddings' files
PromptDescription describe_prompt(const std::filesystem::path& model, std::string_view prompt,
                                  const PromptOptions& options = {});

}  // namespace tintype
