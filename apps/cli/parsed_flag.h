/// A flag whose text goes through one of our own parsers. No state.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace tintype::cli {

/// `parse` throws Error.
inline CLI::Option* add_parsed(CLI::App& command, const std::string& names,
                               const std::function<void(const std::string&)>& parse,
                               const std::string& description, const std::string& value_name) {
  return command.add_option_function<std::string>(names, parse, description)->type_name(value_name);
}

}  // namespace tintype::cli
