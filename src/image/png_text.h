/// Text of PNG chunks: UTF-8 inside the library, Latin-1 or UTF-8 in the file. Pure functions.
/// source  PNG specification (third edition), 11.3.3 "Textual information"
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tintype {

/// `text` with every broken UTF-8 sequence and every NUL replaced by U+FFFD: a chunk can hold
/// neither, and a long run must not end in a refusal of its prompt.
std::string repair_utf8(std::string_view text);

/// The Latin-1 bytes of valid UTF-8; nullopt when a character has none, or is a control character
/// that tEXt discourages (all but line feed and tab).
std::optional<std::string> latin1_from_utf8(std::string_view text);

std::string utf8_from_latin1(std::string_view bytes);

/// 1 to 79 printable Latin-1 characters, no leading, trailing or double spaces. ASCII only here,
/// so that it reads the same as UTF-8.
bool is_png_keyword(std::string_view keyword);

}  // namespace tintype
