#include "image/png_text.h"

#include <cstdint>

namespace tintype {
namespace {

struct Decoded {
  char32_t code_point = 0;
  size_t length = 0;  ///< bytes used; 0 when the sequence is broken
};

bool is_continuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

/// The character at the start of non-empty `text`. Overlong forms, surrogates and values beyond
/// U+10FFFF are broken.
Decoded decode(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {};
  char32_t code_point = lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) return {};
    code_point = (code_point << 6) | (static_cast<uint8_t>(text[i]) & 0x3F);
  }
  const char32_t smallest = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < smallest || code_point > 0x10FFFF || surrogate) return {};
  return {code_point, length};
}

}  // namespace

std::string repair_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Decoded next = decode(text);
    const bool broken = next.length == 0 || next.code_point == 0;
    const size_t length = broken ? 1 : next.length;
    out += broken ? std::string_view("\xEF\xBF\xBD") : text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

std::optional<std::string> latin1_from_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Decoded next = decode(text);
    const char32_t c = next.code_point;
    const bool printable = (c >= 0x20 && c <= 0x7E) || (c >= 0xA0 && c <= 0xFF);
    if (next.length == 0 || !(printable || c == '\n' || c == '\t')) return std::nullopt;
    out += static_cast<char>(c);
    text.remove_prefix(next.length);
  }
  return out;
}

std::string utf8_from_latin1(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xC0 | (byte >> 6));
      out += static_cast<char>(0x80 | (byte & 0x3F));
    }
  }
  return out;
}

bool is_png_keyword(std::string_view keyword) {
  if (keyword.empty() || keyword.size() > 79) return false;
  if (keyword.front() == ' ' || keyword.back() == ' ') return false;
  if (keyword.find("  ") != std::string_view::npos) return false;
  for (const char c : keyword) {
    if (c < 0x20 || c > 0x7E) return false;
  }
  return true;
}

}  // namespace tintype
