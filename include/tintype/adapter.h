/// Adapters (LoRA and its relatives) of a request. Public. Plain values; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tintype {

/// One adapter that a request wants, and how much of it. Adapters are read once for each model and
/// kept (EngineOptions::adapter_budget_bytes); the model's weights are never changed, so requests
/// with and without them may run side by side.
struct AdapterUse {
  /// Of a file in the request's adapter_folder, without its suffix ("ink", "styles/ink"). Looked up
  /// in the folder's listing and never joined into a path.
  std::string name = {};
  /// Instead of a name: a safetensors file, or a folder as PEFT writes it. From trusted callers
  /// only: any file that the process may read.
  std::filesystem::path file = {};
  float weight = 1.0f;  ///< of the denoising network's part, -100..100
  /// Of the text encoders' part; unset: as `weight`.
  std::optional<float> text_weight = {};
};

/// What the tags of a prompt name, in their order: `<lora:ink:0.8>`, see docs/adapters.md.
/// throws kInvalidArgument: a tag without a name, or with something else than numbers
std::vector<AdapterUse> adapters_in_prompt(std::string_view prompt);

/// The adapters in a folder and the folders inside it, sorted: "ink", "styles/ink".
/// AdapterUse::name also takes the last part alone where one file has it. throws kNotFound, kIo;
/// kUnsupported: more than 10,000 files
std::vector<std::string> adapter_names(const std::filesystem::path& folder);

/// What an adapter turned out to be.
struct AdapterInfo {
  std::string name;
  std::string kind;                      ///< "LoRA of rank 16", "DoRA of LoRA of rank 8"
  uint64_t layers = 0, text_layers = 0;  ///< changed ones, of the network and the text encoders
  uint64_t bytes = 0;                    ///< in memory
};

}  // namespace tintype
