/// `tintype upscale`: a picture made larger by a network of the ESRGAN family. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace tintype::cli {

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_upscale_command(CLI::App& app, std::function<void()>& run);

}  // namespace tintype::cli
