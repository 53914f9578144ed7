#include "tokenizers/unicode_tables.h"

#include <algorithm>

namespace tintype::unicode {

namespace {

/// The range of sorted, disjoint `ranges` that holds `c`, or null.
template <typename R>
const R* find_range(std::span<const R> ranges, char32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](char32_t value, const R& r) { return value < r.first; });
  if (after == ranges.begin()) return nullptr;
  const R& candidate = *(after - 1);
  return c <= candidate.last ? &candidate : nullptr;
}

}  // namespace

bool is_letter(char32_t c) {
  if (c < 0x80) return (c | 0x20) >= U'a' && (c | 0x20) <= U'z';
  return find_range(kLetters, c) != nullptr;
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= U'0' && c <= U'9';
  return find_range(kNumbers, c) != nullptr;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool takes_part_in_nfc(char32_t c) { return find_range(kComposable, c) != nullptr; }

char32_t lower_case(char32_t c) {
  const CaseRange* range = find_range(kLowerCase, c);
  if (range == nullptr || (c - range->first) % static_cast<char32_t>(range->stride) != 0) return c;
  return static_cast<char32_t>(static_cast<int>(c) + range->delta);
}

}  // namespace tintype::unicode
