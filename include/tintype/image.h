/// A picture in memory and how to write it. Public. Values; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
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

/// One channel beside a picture, rows top to bottom: 255 marks what inpainting draws anew, 0 what
/// it keeps. grey.size() == width_px * height_px.
struct Mask {
  int width_px = 0;
  int height_px = 0;
  std::vector<uint8_t> grey;
};

/// Reads a PNG, JPEG or WebP file, told apart by its content and not by its name: 8 or 16 bits,
/// grey or coloured, upright by its EXIF orientation. Transparency is dropped, as the reference's
/// convert("RGB") does; colours are taken for sRGB whatever profile stands beside them.
/// throws kNotFound, kIo, kCorruptFile; kUnsupported: another format, animations, over 2^27 pixels
Image load_image(const std::filesystem::path& path);
/// The same as a mask: the picture's luma (ITU-R BT.601).
Mask load_mask(const std::filesystem::path& path);

/// The same from a file's bytes in memory. throws as load_image; kUnsupported: over `max_pixels`
Image decode_image(std::span<const uint8_t> bytes, uint64_t max_pixels = uint64_t{1} << 27);
/// What of a picture is the mask.
enum class MaskFrom {
  kLuma,   ///< its brightness; transparency is dropped
  kAlpha,  ///< its opacity; a picture without transparency is all marked
  kAuto,   ///< its opacity where any pixel is not opaque, else its brightness (as A1111)
};
/// The names "luma", "alpha", "auto". throws kInvalidArgument: another
MaskFrom parse_mask_from(std::string_view name);
Mask decode_mask(std::span<const uint8_t> bytes, uint64_t max_pixels = uint64_t{1} << 27,
                 MaskFrom from = MaskFrom::kLuma);

enum class ImageFormat { kPng, kJpeg, kWebp };

/// What the beginning of a picture's file tells.
struct ImageFileInfo {
  ImageFormat format = ImageFormat::kPng;
  int width_px = 0, height_px = 0;  ///< upright by its EXIF orientation, as decode_image's
};
/// Reads headers alone and decodes nothing: what it takes does not depend on what they claim.
/// throws as load_image, but for pixels that contradict the headers
ImageFileInfo inspect_image(std::span<const uint8_t> bytes);
/// "image/png"
std::string_view media_type_of(ImageFormat format) noexcept;

/// By the name's ending, whatever its case; none is PNG. throws kUnsupported: another ending
ImageFormat image_format_of(const std::filesystem::path& path);

/// Keyword and UTF-8 text of a picture's text chunks, in order.
using PngText = std::vector<std::pair<std::string, std::string>>;

/// Writes a PNG whole or not at all: a temporary file beside `path` is renamed over it at the end,
/// so a failure or an interrupt leaves an existing file as it was.
/// Latin-1 text goes into tEXt (which every gallery reads), other text into iTXt.
/// throws kIo with the system's reason; kInvalidArgument when the picture contradicts its size
void save_png(const std::filesystem::path& path, const Image& image, const PngText& text = {});

struct SaveOptions {
  /// 1..100, of JPEG and WebP; a WebP of 100 is lossless. Unset: 90.
  int quality = 90;
};

/// Writes the format that the name's ending says (image_format_of), whole or not at all. JPEG and
/// WebP keep the text "parameters" as EXIF UserComment, where galleries look for it, and "tintype"
/// as ImageDescription; what does not fit into JPEG's 64 KB is left out, the longest first.
/// throws kIo; kUnsupported: the ending; kInvalidArgument: a size that the format cannot hold,
/// quality
void save_image(const std::filesystem::path& path, const Image& image, const PngText& text = {},
                const SaveOptions& options = {});

/// The bytes that save_image would write in that format. throws as save_image, but for kIo
std::vector<uint8_t> encode_image(const Image& image, ImageFormat format, const PngText& text = {},
                                  const SaveOptions& options = {});

/// Throws the error that save_png would meet at once (no such folder, not writable, is a folder),
/// so that a long run does not end in one. Creates nothing.
void require_writable(const std::filesystem::path& path);

}  // namespace tintype
