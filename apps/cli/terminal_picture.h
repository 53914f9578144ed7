/// Pictures as text that a terminal shows: half blocks everywhere, sixel where the terminal has it.
/// Pure functions, but for the question to the terminal.
#pragma once

#include <string>

#include "tintype/image.h"

namespace tintype::cli {

/// Every pixel of the result is the mean of those it covers; sides at least 1 and at most the
/// picture's.
Image shrunk(const Image& image, int width_px, int height_px);

/// A row of text shows two rows of pixels: U+2580 in the upper one's colour on the lower one's.
/// 24-bit colours, or the 216 of a 256-colour terminal. Rows end in "\n".
std::string half_blocks(const Image& image, bool true_color);

/// One sixel sequence in 216 colours. source  DEC STD 070, chapter 9
std::string sixel(const Image& image);

/// Whether the terminal behind stderr says that it shows sixels (DA1, attribute 4). Asks it and
/// waits at most 200 ms; no terminal, or one in the foreground of others: no.
bool terminal_has_sixel();

/// Whether the answer to DA1, "ESC [ ? 62 ; 4 ; 6 c", names attribute 4.
bool answer_names_sixel(std::string_view answer);

}  // namespace tintype::cli
