/// `tintype bench machine|step|decode|encode`: what the machine can do, and where the time of a
/// part of a run goes. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace tintype::cli {

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_bench_command(CLI::App& app, std::function<void()>& run);

}  // namespace tintype::cli
