#include "tokenizers/clip_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "tokenizers/unicode_tables.h"

namespace tintype {

namespace {

using unicode::takes_part_in_nfc;

constexpr char32_t kReplacement = 0xFFFD;

/// A code point on its way through canonical composition.
struct Mark {
  char32_t code;
  int combining_class;  // 0: a starter
};

int combining_class(char32_t c) {
  return takes_part_in_nfc(c)
             ? static_cast<int>(
                   utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class)
             : 0;
}

void append_decomposed(char32_t c, std::vector<Mark>& out) {
  std::array<utf8proc_int32_t, 16> parts;  // the longest canonical decomposition is 4
  utf8proc_ssize_t count = 0;
  if (takes_part_in_nfc(c)) {
    int boundary = 0;
    count = utf8proc_decompose_char(
        static_cast<utf8proc_int32_t>(c), parts.data(), parts.size(),
        static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE), &boundary);
  }
  if (count <= 0 || count > static_cast<utf8proc_ssize_t>(parts.size())) {
    out.push_back({c, 0});
    return;
  }
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    const auto part = static_cast<char32_t>(parts[static_cast<size_t>(i)]);
    out.push_back({part, combining_class(part)});
  }
}

/// The canonical composition of two code points, or 0.
char32_t compose(char32_t starter, char32_t second) {
  if (!takes_part_in_nfc(starter) || !takes_part_in_nfc(second)) return 0;
  std::array<utf8proc_int32_t, 2> pair = {static_cast<utf8proc_int32_t>(starter),
                                          static_cast<utf8proc_int32_t>(second)};
  const auto length = utf8proc_normalize_utf32(
      pair.data(), 2, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  const auto composed = static_cast<char32_t>(pair[0]);
  return length == 1 && takes_part_in_nfc(composed) ? composed : 0;
}

/// Normalization form C. utf8proc supplies the character data only: its whole-text function sorts
/// a run of n combining marks in O(n^2), which a prompt can make it feel.
std::u32string compose_canonically(std::u32string_view text) {
  // Nothing below U+0300 decomposes without something above it to compose with again.
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; })) {
    return std::u32string(text);
  }
  std::vector<Mark> marks;
  marks.reserve(text.size());
  for (const char32_t c : text) append_decomposed(c, marks);

  const auto is_starter = [](const Mark& m) { return m.combining_class == 0; };
  for (auto begin = marks.begin(); begin != marks.end();) {
    begin = std::find_if_not(begin, marks.end(), is_starter);
    const auto end = std::find_if(begin, marks.end(), is_starter);
    std::stable_sort(begin, end, [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
    begin = end;
  }

  std::u32string out;
  out.reserve(marks.size());
  size_t starter = std::u32string::npos;
  int last_class = 0;  // of the last kept mark after the starter; 0: none in between
  for (const Mark& mark : marks) {
    const bool reachable =
        starter != std::u32string::npos && (last_class == 0 || last_class < mark.combining_class);
    if (const char32_t composed = reachable ? compose(out[starter], mark.code) : 0) {
      out[starter] = composed;
      continue;
    }
    if (mark.combining_class == 0) starter = out.size();
    last_class = mark.combining_class;
    out.push_back(mark.code);
  }
  return out;
}

/// Length of the special literal or contraction at the start of `rest`, or 0.
size_t literal_length(std::u32string_view rest) {
  static constexpr std::u32string_view kLiterals[] = {
      U"<|startoftext|>", U"<|endoftext|>", U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};
  for (const std::u32string_view literal : kLiterals) {
    if (rest.starts_with(literal)) return literal.size();
  }
  return 0;
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i++]);
    if (lead < 0x80) {
      out.push_back(lead);
      continue;
    }
    // Bounds of the second byte shut out overlong forms, surrogates and what is beyond U+10FFFF.
    int rest = lead >= 0xC2 && lead <= 0xDF ? 1 : lead >= 0xE0 && lead <= 0xEF ? 2 : 0;
    if (lead >= 0xF0 && lead <= 0xF4) rest = 3;
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    char32_t code = lead & (0x3F >> rest);
    bool whole = rest > 0;
    for (; rest > 0 && whole; --rest) {
      const uint8_t byte = i < text.size() ? static_cast<uint8_t>(text[i]) : 0;
      whole = byte >= low && byte <= high;
      if (!whole) break;
      code = (code << 6) | (byte & 0x3F);
      low = 0x80;
      high = 0xBF;
      ++i;
    }
    out.push_back(whole ? code : kReplacement);
  }
  return out;
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) {
    if (c < 0x80) {
      out.push_back(static_cast<char>(c));
      continue;
    }
    const int rest = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    const unsigned lead = rest == 1 ? 0xC0 : rest == 2 ? 0xE0 : 0xF0;
    out.push_back(static_cast<char>(lead | (c >> (6 * rest))));
    for (int shift = 6 * (rest - 1); shift >= 0; shift -= 6) {
      out.push_back(static_cast<char>(0x80 | ((c >> shift) & 0x3F)));
    }
  }
  return out;
}

std::u32string clip_normalize(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (const char32_t c : compose_canonically(text)) {
    if (unicode::is_space(c)) {
      if (out.empty() || out.back() != U' ') out.push_back(U' ');
      continue;
    }
    out.push_back(unicode::lower_case(c));
    if (c == 0x130) out.push_back(0x307);
  }
  return out;
}

std::vector<std::u32string_view> clip_words(std::u32string_view text) {
  using unicode::is_letter, unicode::is_number, unicode::is_space;
  const auto is_other = [](char32_t c) { return !is_letter(c) && !is_number(c) && !is_space(c); };
  std::vector<std::u32string_view> words;
  while (!text.empty()) {
    size_t length = literal_length(text);
    if (length > 3) {
      // ByteLevel's pattern has no such literal and cuts it again: <| name |>. Still not the same
      // as plain text, where signs that follow would be glued to the |>.
      words.push_back(text.substr(0, 2));
      words.push_back(text.substr(2, length - 4));
      words.push_back(text.substr(length - 2, 2));
      text.remove_prefix(length);
      continue;
    }
    const char32_t c = text.front();
    if (length == 0 && is_space(c)) {
      text.remove_prefix(1);
      continue;
    }
    if (length == 0 && is_number(c)) length = 1;
    if (length == 0) {
      const auto end = is_letter(c) ? std::find_if_not(text.begin(), text.end(), is_letter)
                                    : std::find_if_not(text.begin(), text.end(), is_other);
      length = static_cast<size_t>(end - text.begin());
    }
    words.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return words;
}

}  // namespace tintype
