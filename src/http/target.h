/// The target of a request line taken apart: path and query, percent-decoded. Pure functions over
/// hostile text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace tintype::http {

struct Target {
  std::string path;
  Fields query;
};

inline constexpr size_t kMaxQueryFields = 100;

/// "/v1/jobs?limit=5", or the absolute form "http://host/v1/jobs". None: not a path, a broken
/// escape, a NUL or other control byte, a segment "." or "..", an escaped slash, a byte outside
/// UTF-8, too many fields.
std::optional<Target> parse_target(std::string_view target);

/// Decodes %XX, in queries also '+'. None: a broken escape.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

/// "a=b&c" as a query or an urlencoded form has it. None as parse_target.
std::optional<Fields> parse_query(std::string_view text);

}  // namespace tintype::http
