/// The text rules of CLIP's tokenizer: UTF-8 repair, normalization, cutting into words. No ids, no
/// vocabulary. Pure functions, thread-safe, linear in the text (n log n in a run of combining
/// marks).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tintype {

/// Code points of UTF-8 text. Each maximal broken part becomes one U+FFFD, as in Python's
/// decode(errors="replace") and the WHATWG encoding standard.
std::u32string decode_utf8(std::string_view text);
/// `text` must hold Unicode scalar values.
std::string encode_utf8(std::u32string_view text);

/// NFC, then each run of white space becomes one space, then lower case.
/// source  transformers 5.x models/clip/tokenization_clip.py (the normalizers.Sequence). Its older
///         BasicTokenizer path also dropped control characters, set CJK characters apart and
///         repaired mojibake with ftfy; the installed version does none of these, nor do we.
std::u32string clip_normalize(std::u32string_view text);

/// Cuts normalized text into the words that byte-pair merging sees; white space disappears. The
/// views point into `text`.
/// source  the same file: its Split pattern
///           <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|
///           [\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+          (one pattern)
///         and after it ByteLevel's own pattern, which only changes the first two.
std::vector<std::u32string_view> clip_words(std::u32string_view text);

}  // namespace tintype
