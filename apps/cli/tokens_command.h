/// `tintype tokens -m MODEL -p PROMPT`: how a model reads a prompt. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "cli/json_output.h"
#include "tintype/prompt.h"

namespace tintype::cli {

/// Adds the subcommand to `app`. Parsing it sets `run`, which returns nothing and throws Error.
void add_tokens_command(CLI::App& app, std::function<void()>& run);

std::string tokens_text(const PromptDescription& prompt);
OrderedJson tokens_json(const PromptDescription& prompt);

}  // namespace tintype::cli
