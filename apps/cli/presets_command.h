/// `tintype presets`: the rows that --preset accepts; and that flag. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace tintype::cli {

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_presets_command(CLI::App& app, std::function<void()>& run);

/// --preset; see apply_preset
void add_preset_flag(CLI::App& command, std::string& preset);

}  // namespace tintype::cli
