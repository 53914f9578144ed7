/// Small text helpers used by messages across the library. Pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tintype {

/// The name in `candidates` closest to `name` by edit distance; empty when none is close (more than
/// a third of the letters differ). Serves every "unknown X, did you mean Y" message.
std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

/// "a, b, c"
std::string joined(std::span<const std::string> names);

/// "must be one of a, b, c, got "d"; did you mean c?", the last where a name is close.
std::string unknown_name(std::string_view given, std::span<const std::string> known);

/// Text from outside made safe for a message or terminal: control bytes and broken UTF-8 escaped,
/// cut to `max_bytes` with an ellipsis.
std::string printable(std::string_view text, size_t max_bytes = 200);

}  // namespace tintype
