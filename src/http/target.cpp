#include "http/target.h"

#include <algorithm>

#include "base/text.h"

namespace tintype::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// UTF-8 without control bytes: printable() would leave it as it is.
bool is_clean(std::string_view text) { return printable(text, text.size() + 1) == text; }

/// The part from the first slash on: absolute forms name scheme and host before it.
std::string_view without_authority(std::string_view target) {
  const size_t scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) return target;
  const size_t slash = target.find('/', scheme + 3);
  return slash == std::string_view::npos ? "/" : target.substr(slash);
}

bool has_dot_segment(std::string_view path) {
  for (size_t begin = 1; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    if (segment == "." || segment == "..") return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i] == '+' && plus_is_space ? ' ' : text[i];
    }
  }
  return out;
}

std::optional<Fields> parse_query(std::string_view text) {
  Fields out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('&', begin), text.size());
    const std::string_view field = text.substr(begin, end - begin);
    begin = end + 1;
    if (field.empty()) continue;
    const size_t equals = std::min(field.find('='), field.size());
    const auto name = percent_decode(field.substr(0, equals), true);
    const auto value =
        percent_decode(equals < field.size() ? field.substr(equals + 1) : std::string_view(), true);
    if (!name || !value || out.size() == kMaxQueryFields) return std::nullopt;
    if (!is_clean(*name) || !is_clean(*value)) return std::nullopt;
    out.emplace_back(*name, *value);
  }
  return out;
}

std::optional<Target> parse_target(std::string_view target) {
  target = without_authority(target);
  if (!target.starts_with('/')) return std::nullopt;
  target = target.substr(0, target.find('#'));
  const size_t mark = std::min(target.find('?'), target.size());
  const std::string_view raw = target.substr(0, mark);
  const auto path = percent_decode(raw, false);
  // An escaped slash would be another segment to us than to a proxy in front of us.
  if (!path || !is_clean(*path) || has_dot_segment(*path) ||
      std::count(raw.begin(), raw.end(), '/') != std::count(path->begin(), path->end(), '/'))
    return std::nullopt;
  const auto query = parse_query(mark < target.size() ? target.substr(mark + 1) : "");
  if (!query) return std::nullopt;
  return Target{*path, *query};
}

}  // namespace tintype::http
