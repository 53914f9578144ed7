/// A picture in memory and how to write it. Public. Values; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace tintype {

/// 8-bit sRGB, rows top to bottom, no padding: rgb.size() == width_px * height_px * 3.
struct Image {
  int width_px = 0;
  int height_px = 0;
  std::vector<uint8_t> rgb;
};

/// How a picture takes another size, by an antialiased filter (Lanczos, as the reference's).
enum class ResizeMode {
  kFit,   ///< stretched to the size
  kCrop,  ///< scaled to cover the size, what juts out cut off evenly
  kPad,   ///< scaled to lie within the size, the rest filled with its edges
};

/// Keyword and UTF-8 text of the PNG's text chunks, in order.
using PngText = std::vector<std::pair<std::string, std::string>>;

/// Writes a PNG whole or not at all: a temporary file beside `path` is renamed over it at the end,
/// so a failure or an interrupt leaves an existing file as it was.
/// Latin-1 text goes into tEXt (which every gallery reads), other text into iTXt.
/// throws kIo with the system's reason; kInvalidArgument when the picture contradicts its size
void save_png(const std::filesystem::path& path, const Image& image, const PngText& text = {});

/// Throws the error that save_png would meet at once (no such folder, not writable, is a folder),
/// so that a long run does not end in one. Creates nothing.
void require_writable(const std::filesystem::path& path);

}  // namespace tintype
