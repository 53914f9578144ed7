#include <algorithm>
#include <string>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/text.h"
#include "image/exif.h"
#include "image/image_writer.h"

namespace tintype {
namespace {

constexpr std::string_view kWhere = "save_image";
/// A JPEG marker's length counts itself, and "Exif\0\0" stands before the structure.
constexpr size_t kMaxJpegExifBytes = 65535 - 2 - 6;

std::string text_of(const PngText& text, std::string_view keyword) {
  for (const auto& [key, value] : text)
    if (key == keyword) return value;
  return {};
}

/// With as much of the text as fits.
std::vector<uint8_t> exif_of(const PngText& text, size_t max_bytes) {
  std::string parameters = text_of(text, "parameters"), settings = text_of(text, "tintype");
  while (!parameters.empty() || !settings.empty()) {
    std::vector<uint8_t> exif = exif_with_text(parameters, settings);
    if (exif.size() <= max_bytes) return exif;
    // In EXIF the first takes two bytes a character.
    (settings.size() > 2 * parameters.size() || parameters.empty() ? settings : parameters).clear();
  }
  return {};
}

}  // namespace

void check_image_size(std::string_view where, const Image& image, int max_side_px) {
  TT_REQUIRE(image.width_px >= 1 && image.height_px >= 1 && image.width_px <= max_side_px &&
                 image.height_px <= max_side_px,
             where, "sides must be 1 to ", max_side_px, " pixels in this format, got ",
             image.width_px, " x ", image.height_px);
  const size_t bytes =
      static_cast<size_t>(image.width_px) * static_cast<size_t>(image.height_px) * 3;
  TT_REQUIRE(image.rgb.size() == bytes, where, "a picture of ", image.width_px, " x ",
             image.height_px, " must hold ", bytes, " bytes, got ", image.rgb.size());
}

ImageFormat image_format_of(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (ending.empty() || ending == ".png") return ImageFormat::kPng;
  if (ending == ".jpg" || ending == ".jpeg" || ending == ".jpe") return ImageFormat::kJpeg;
  if (ending == ".webp") return ImageFormat::kWebp;
  fail(ErrorKind::kUnsupported, kWhere,
       "the name of a picture must end in .png, .jpg or .webp, got ",
       printable(path.filename().string(), 80));
}

std::vector<uint8_t> encode_image(const Image& image, ImageFormat format, const PngText& text,
                                  const SaveOptions& options) {
  TT_REQUIRE(options.quality >= 1 && options.quality <= 100, "quality", "must be in 1..100, got ",
             options.quality);
  switch (format) {
    case ImageFormat::kPng:
      return encode_png(image, text);
    case ImageFormat::kJpeg:
      return encode_jpeg(image, options.quality, exif_of(text, kMaxJpegExifBytes));
    case ImageFormat::kWebp:
      return encode_webp(image, options.quality, exif_of(text, image.rgb.max_size()));
  }
  fail(ErrorKind::kInternal, kWhere, "an unknown format");
}

std::string_view media_type_of(ImageFormat format) noexcept {
  switch (format) {
    case ImageFormat::kPng:
      return "image/png";
    case ImageFormat::kJpeg:
      return "image/jpeg";
    case ImageFormat::kWebp:
      return "image/webp";
  }
  return "";
}

void save_image(const std::filesystem::path& path, const Image& image, const PngText& text,
                const SaveOptions& options) {
  write_file_atomically(path, encode_image(image, image_format_of(path), text, options));
}

}  // namespace tintype
