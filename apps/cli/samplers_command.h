/// `tintype samplers`: the names that --sampler and --scheduler accept. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace tintype::cli {

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_samplers_command(CLI::App& app, std::function<void()>& run);

}  // namespace tintype::cli
