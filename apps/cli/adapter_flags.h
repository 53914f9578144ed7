/// Flags that name adapters (LoRA), shared by the commands that draw. No state.
#pragma once

#include <CLI/CLI.hpp>

#include "tintype/engine.h"

namespace tintype::cli {

/// --lora, --lora-dir
void add_adapter_flags(CLI::App& command, TextToImageRequest& request);
/// The same for `pack`, which merges them.
void add_merged_adapter_flags(CLI::App& command, LoadOptions& options);
/// What --merge asks for: the request's adapters become the model's. The folder stays with the
/// request too, whose prompt may name others.
void merge_adapters(TextToImageRequest& request, LoadOptions& options);

/// "ink", "ink:0.8", "ink:0.5:0.8" (text encoders, network), "folder/ink.safetensors:0.8".
/// throws kInvalidArgument
AdapterUse parse_adapter_use(const std::string& text);

}  // namespace tintype::cli
