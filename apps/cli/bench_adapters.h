/// `tintype bench adapters`: what switching an adapter costs, and what one adds to a step. No
/// state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace tintype::cli {

/// Adds the subcommand to `bench`. Parsing it sets `run`, which returns nothing and throws Error.
void add_bench_adapters(CLI::App& bench, std::function<void()>& run);

}  // namespace tintype::cli
