/// Flags that say what a checkpoint leaves open, shared by the commands that load one. No state.
#pragma once

#include <CLI/CLI.hpp>

#include "tintype/engine.h"

namespace tintype::cli {

/// --tokenizer, --vae, --text-encoder, --prediction, --ema, --timestep-spacing
void add_load_flags(CLI::App& command, LoadOptions& options);
/// --offload
void add_offload_flag(CLI::App& command, LoadOptions& options);
/// --profile
void add_profile_flag(CLI::App& command, LoadOptions& options);

/// What `--model` takes, for help texts.
inline constexpr const char* kModelHelp =
    "Model: a folder in diffusers layout, or one safetensors, GGUF or packed file";

}  // namespace tintype::cli
