/// Which characters CLIP's reference tokenizer calls letter, digit, space or composable, and their
/// lower case. Pure functions over generated tables, thread-safe.
///
/// Tables and not a Unicode library, because the reference mixes three Unicode versions and the
/// libraries of one distribution follow a fourth: tokenizers 0.23.3 composes by Unicode 9, tells
/// letters by 16 and lower-cases by 17, where utf8proc 2.8 and PCRE2 10.42 know 15 and 14. With
/// their own classes some 9000 letters (mostly CJK extensions) would be cut differently.
#pragma once

#include <span>

namespace tintype::unicode {

struct Range {
  char32_t first, last;  ///< both included
};

/// Every stride-th code point of first..last has the lower case `code point + delta`.
struct CaseRange {
  char32_t first, last;
  int stride, delta;
};

extern const std::span<const Range> kLetters;     ///< \p{L}
extern const std::span<const Range> kNumbers;     ///< \p{N}
extern const std::span<const Range> kComposable;  ///< not left alone by NFC: see takes_part_in_nfc
extern const std::span<const CaseRange> kLowerCase;

bool is_letter(char32_t c);
bool is_number(char32_t c);
/// \s: the White_Space property, 25 code points. Not the zero-width ones (U+200B, U+FEFF).
bool is_space(char32_t c);
/// Has a combining class, a canonical decomposition, or is half of a canonical composition, in the
/// reference's Unicode version. What is known about such a character never changes later
/// (Unicode's normalization stability policy), so a newer library may be asked for the details.
bool takes_part_in_nfc(char32_t c);
/// One-to-one lower case without context: final sigma stays U+03C3. U+0130 is the only character
/// with two (i, U+0307); this returns the first.
char32_t lower_case(char32_t c);

}  // namespace tintype::unicode
