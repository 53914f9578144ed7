/// Letters of protocols: header names, hosts, media types and names compared without their case,
/// whatever the locale. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace tintype::http {

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

}  // namespace tintype::http
