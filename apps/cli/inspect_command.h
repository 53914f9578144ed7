/// `tintype inspect MODEL`: what a checkpoint is and the memory it will need, without loading it.
/// No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "cli/json_output.h"
#include "tintype/engine.h"

namespace tintype::cli {

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_inspect_command(CLI::App& app, std::function<void()>& run);

std::string inspect_text(const ModelInfo& info);
OrderedJson inspect_json(const ModelInfo& info);

}  // namespace tintype::cli
