/// `tintype pack`: a model as one file that later runs map and draw from at once. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace tintype::cli {

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_pack_command(CLI::App& app, std::function<void()>& run);

}  // namespace tintype::cli
