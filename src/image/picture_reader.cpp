#include "image/picture_reader.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "base/text.h"
#include "image/jpeg_reader.h"
#include "image/png_reader.h"
#include "image/webp_reader.h"

namespace tintype {
namespace {

constexpr std::string_view kWhere = "load_image";
/// Above any picture within the limits, compressed or not.
constexpr size_t kMaxFileBytes = size_t{1} << 30;

bool has(std::span<const uint8_t> bytes, std::string_view magic, size_t at = 0) {
  return bytes.size() >= at + magic.size() &&
         std::equal(magic.begin(), magic.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char m, uint8_t b) { return static_cast<uint8_t>(m) == b; });
}

/// Formats that people have and this does not read.
std::string_view other_format(std::span<const uint8_t> bytes) {
  if (has(bytes, "GIF8")) return "GIF";
  if (has(bytes, "BM")) return "BMP";
  if (has(bytes, "II*") || has(bytes, std::string_view("MM\0*", 4))) return "TIFF";
  if (has(bytes, "ftypavi", 4)) return "AVIF";
  if (has(bytes, "ftyphei", 4) || has(bytes, "ftypmif1", 4)) return "HEIC";
  if (has(bytes, "\xFF\x0A") || has(bytes, "JXL ", 4)) return "JPEG XL";
  return {};
}

}  // namespace

Image decode_image(std::span<const uint8_t> bytes, std::string_view origin,
                   const PictureLimits& limits) {
  if (has(bytes, "\x89PNG\r\n\x1A\n")) return decode_png(bytes, origin, nullptr, limits);
  if (has(bytes, "\xFF\xD8\xFF")) return decode_jpeg(bytes, origin, limits);
  if (has(bytes, "RIFF") && has(bytes, "WEBP", 8)) return decode_webp(bytes, origin, limits);
  if (const std::string_view other = other_format(bytes); !other.empty())
    fail(ErrorKind::kUnsupported, kWhere, origin, " must be a PNG, JPEG or WebP picture, got ",
         other, "; convert it first");
  fail(ErrorKind::kCorruptFile, kWhere, origin,
       " must begin as a PNG, JPEG or WebP picture does, got ",
       bytes.empty() ? "an empty file" : "other bytes; is it a picture?");
}

Image load_image(const std::filesystem::path& path) {
  const std::string bytes = read_text_file(path, kMaxFileBytes);
  return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
                      printable(path.string()));
}

Mask to_mask(const Image& image) {
  Mask mask{.width_px = image.width_px, .height_px = image.height_px, .grey = {}};
  mask.grey.reserve(image.rgb.size() / 3);
  for (size_t i = 0; i + 2 < image.rgb.size(); i += 3)
    mask.grey.push_back(static_cast<uint8_t>(
        (image.rgb[i] * 19595u + image.rgb[i + 1] * 38470u + image.rgb[i + 2] * 7471u + 0x8000u) >>
        16));
  return mask;
}

Mask load_mask(const std::filesystem::path& path) { return to_mask(load_image(path)); }

}  // namespace tintype
