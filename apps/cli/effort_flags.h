/// Flags for doing less work than every step asks for. No state.
#pragma once

#include <CLI/CLI.hpp>

#include "tintype/text_to_image.h"

namespace tintype::cli {

/// --reuse, --guidance-interval
void add_effort_flags(CLI::App& command, TextToImageRequest& request);

/// "0.28,5.42", "0.28,inf". throws kInvalidArgument
GuidanceInterval parse_guidance_interval(const std::string& text);

}  // namespace tintype::cli
