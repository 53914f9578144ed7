/// `tintype serve`: the server, and `tintype serve keys`. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace tintype::cli {

void add_serve_command(CLI::App& app, std::function<void()>& run);

}  // namespace tintype::cli
