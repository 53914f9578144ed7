/// Numbers written in prompts. Pure functions.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace tintype {

inline constexpr std::string_view kPromptSpaces = " \t\n\r\f\v";

inline std::string_view trim_spaces(std::string_view text) {
  const size_t begin = text.find_first_not_of(kPromptSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kPromptSpaces) - begin + 1);
}

/// All of `text`, with white space around it, as a finite decimal number with an optional sign.
/// Nothing for any other text, also for "nan", "inf" and what a double cannot hold.
inline std::optional<double> parse_number_text(std::string_view text) {
  text = trim_spaces(text);
  const size_t sign = text.starts_with('+') || text.starts_with('-') ? 1 : 0;
  if (text.size() == sign || !(text[sign] == '.' || (text[sign] >= '0' && text[sign] <= '9')))
    return {};
  if (text[0] == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

}  // namespace tintype
