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
/// What messages call a picture that came without a name.
constexpr std::string_view kBytes = "the picture";

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

/// throws kUnsupported: another format; kCorruptFile: no picture
ImageFormat format_of(std::span<const uint8_t> bytes, std::string_view origin) {
  if (has(bytes, "\x89PNG\r\n\x1A\n")) return ImageFormat::kPng;
  if (has(bytes, "\xFF\xD8\xFF")) return ImageFormat::kJpeg;
  if (has(bytes, "RIFF") && has(bytes, "WEBP", 8)) return ImageFormat::kWebp;
  if (const std::string_view other = other_format(bytes); !other.empty())
    fail(ErrorKind::kUnsupported, kWhere, origin, " must be a PNG, JPEG or WebP picture, got ",
         other, "; convert it first");
  fail(ErrorKind::kCorruptFile, kWhere, origin,
       " must begin as a PNG, JPEG or WebP picture does, got ",
       bytes.empty() ? "an empty file" : "other bytes; is it a picture?");
}

/// The opacity as a grey picture.
Image decode_alpha(std::span<const uint8_t> bytes, const PictureLimits& limits) {
  switch (format_of(bytes, kBytes)) {
    case ImageFormat::kPng:
      return decode_png_alpha(bytes, kBytes, limits);
    case ImageFormat::kJpeg: {  // has none
      Image image = decode_jpeg(bytes, kBytes, limits);
      std::fill(image.rgb.begin(), image.rgb.end(), uint8_t{255});
      return image;
    }
    case ImageFormat::kWebp:
      return decode_webp_alpha(bytes, kBytes, limits);
  }
  fail(ErrorKind::kInternal, kWhere, "an unknown format");
}

}  // namespace

Image decode_image(std::span<const uint8_t> bytes, std::string_view origin,
                   const PictureLimits& limits) {
  switch (format_of(bytes, origin)) {
    case ImageFormat::kPng:
      return decode_png(bytes, origin, nullptr, limits);
    case ImageFormat::kJpeg:
      return decode_jpeg(bytes, origin, limits);
    case ImageFormat::kWebp:
      return decode_webp(bytes, origin, limits);
  }
  fail(ErrorKind::kInternal, kWhere, "an unknown format");
}

ImageFileInfo inspect_image(std::span<const uint8_t> bytes) {
  switch (format_of(bytes, kBytes)) {
    case ImageFormat::kPng:
      return inspect_png(bytes, kBytes);
    case ImageFormat::kJpeg:
      return inspect_jpeg(bytes, kBytes);
    case ImageFormat::kWebp:
      return inspect_webp(bytes, kBytes);
  }
  fail(ErrorKind::kInternal, kWhere, "an unknown format");
}

Image decode_image(std::span<const uint8_t> bytes, uint64_t max_pixels) {
  return decode_image(bytes, kBytes,
                      {.max_pixels = std::min(max_pixels, PictureLimits{}.max_pixels)});
}

MaskFrom parse_mask_from(std::string_view name) {
  if (name == "luma") return MaskFrom::kLuma;
  if (name == "alpha") return MaskFrom::kAlpha;
  if (name == "auto") return MaskFrom::kAuto;
  const std::vector<std::string> names = {"luma", "alpha", "auto"};
  fail(ErrorKind::kInvalidArgument, "from", unknown_name(name, names));
}

Mask decode_mask(std::span<const uint8_t> bytes, uint64_t max_pixels, MaskFrom from) {
  if (from != MaskFrom::kLuma) {
    Mask opacity = to_mask(
        decode_alpha(bytes, {.max_pixels = std::min(max_pixels, PictureLimits{}.max_pixels)}));
    const bool is_opaque = std::all_of(opacity.grey.begin(), opacity.grey.end(),
                                       [](uint8_t value) { return value == 255; });
    if (from == MaskFrom::kAlpha || !is_opaque) return opacity;
  }
  return to_mask(decode_image(bytes, max_pixels));
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
