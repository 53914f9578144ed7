#include "base/text.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tintype {

namespace {

/// Edit distance with insertion, deletion, substitution and swap of neighbours at cost one each
/// ("optimal string alignment"); anything above `limit` is returned as limit + 1. Rows are cut to
/// the band |i - j| <= limit, so a far candidate costs little.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  const size_t length_gap = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (length_gap > limit) return limit + 1;
  const size_t far = limit + 1;
  std::vector<size_t> before(b.size() + 1, far), above(b.size() + 1, far), row(b.size() + 1, far);
  for (size_t j = 0; j <= std::min(b.size(), limit); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    const size_t first = i > limit ? i - limit : 1;
    const size_t last = std::min(b.size(), i + limit);
    std::fill(row.begin(), row.end(), far);
    if (i <= limit) row[0] = i;
    size_t best = row[0];
    for (size_t j = first; j <= last; ++j) {
      size_t cost = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost = std::min({cost, above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost = std::min(cost, before[j - 2] + 1);
      }
      row[j] = std::min(cost, far);
      best = std::min(best, row[j]);
    }
    if (best > limit) return far;
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

/// Length of the well-formed UTF-8 sequence at the start of `text` and its code point; length 0
/// when it is broken (overlong, surrogate, too large or cut off).
struct Utf8Step {
  size_t length;
  uint32_t code_point;
};
Utf8Step decode_utf8(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return {1, lead};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {0, 0};
  uint32_t code_point = lead & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xc0) != 0x80) return {0, 0};
    code_point = code_point << 6 | (byte & 0x3fu);
  }
  const bool overlong =
      (length == 3 && code_point < 0x800) || (length == 4 && code_point < 0x10000);
  const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
  if (overlong || surrogate || code_point > 0x10ffff) return {0, 0};
  return {length, code_point};
}

/// Characters that change how a terminal shows what follows: controls (C0, DEL, C1), line and
/// paragraph separators, and the bidirectional overrides that can disguise a file name.
bool is_unsafe(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f;
}

}  // namespace

std::string nearest_name(std::string_view name, std::span<const std::string> candidates) {
  std::string_view nearest;
  size_t limit = std::max<size_t>(name.size(), 2);  // shrinks to one below the best distance
  for (const std::string& candidate : candidates) {
    const size_t allowed = std::min(limit, std::max(name.size(), candidate.size()) / 3);
    const size_t distance = edit_distance(name, candidate, allowed);
    if (distance > allowed) continue;
    nearest = candidate;
    if (distance == 0) break;
    limit = distance - 1;
  }
  return std::string(nearest);
}

std::string printable(std::string_view text, size_t max_bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    const size_t length = std::max<size_t>(step.length, 1);
    const bool escape = step.length == 0 || is_unsafe(step.code_point);
    if (out.size() + (escape ? 4 * length : length) > max_bytes) return out + "...";
    for (const char byte : text.substr(0, length)) {
      const auto value = static_cast<uint8_t>(byte);
      if (escape) {
        out += {'\\', 'x', kHex[value >> 4], kHex[value & 15]};
      } else {
        out += byte;
      }
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string joined(std::span<const std::string> names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

std::string unknown_name(std::string_view given, std::span<const std::string> known) {
  const std::string nearest = nearest_name(given, known);
  return "must be one of " + joined(known) + ", got \"" + printable(given) + "\"" +
         (nearest.empty() ? "" : "; did you mean " + nearest + "?");
}

}  // namespace tintype
