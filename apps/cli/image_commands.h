/// `tintype img2img` and `tintype inpaint`: pictures from a picture. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "tintype/image.h"
#include "tintype/mask_options.h"

namespace tintype::cli {

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_img2img_command(CLI::App& app, std::function<void()>& run);
void add_inpaint_command(CLI::App& app, std::function<void()>& run);

/// "64" for all sides, or "LEFT,TOP,RIGHT,BOTTOM". throws kInvalidArgument
Padding parse_padding(const std::string& text);

}  // namespace tintype::cli
