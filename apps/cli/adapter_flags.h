/// Flags that name adapters (LoRA), shared by the commands that draw. No state.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/json_output.h"
#include "tintype/engine.h"

namespace tintype::cli {

/// --lora, --lora-dir
void add_adapter_flags(CLI::App& command, TextToImageRequest& request);

/// "ink", "ink:0.8", "ink:0.5:0.8" (text encoders, network), "folder/ink.safetensors:0.8".
/// throws kInvalidArgument
AdapterUse parse_adapter_use(const std::string& text);

/// For --json: what the model's adapters did.
OrderedJson adapter_counters_json(const AdapterCounters& counters);

}  // namespace tintype::cli
