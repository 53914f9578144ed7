#include "tintype/image_text.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "base/check.h"
#include "image/exif.h"
#include "image/png_text.h"

namespace tintype {
namespace {

constexpr size_t kMaxTexts = 64;

bool has(std::span<const uint8_t> bytes, std::string_view magic, size_t at = 0) {
  return bytes.size() >= at + magic.size() &&
         std::equal(magic.begin(), magic.end(), bytes.begin() + static_cast<ptrdiff_t>(at),
                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

std::string_view text_of(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Up to the next NUL, which is taken, too; all where there is none.
std::string_view take_string(std::string_view& data) {
  const size_t end = std::min(data.find('\0'), data.size());
  const std::string_view text = data.substr(0, end);
  data.remove_prefix(std::min(end + 1, data.size()));
  return text;
}

void add_png_text(std::string_view type, std::string_view data, PngText& out) {
  const std::string keyword = utf8_from_latin1(take_string(data));
  if (type == "tEXt") {
    out.emplace_back(keyword, repair_utf8(utf8_from_latin1(data)));
  } else {
    // Compression flag and method, language, translated keyword, text.
    if (data.size() < 2 || data[0] != 0) return;
    data.remove_prefix(2);
    take_string(data);
    take_string(data);
    out.emplace_back(keyword, repair_utf8(data));
  }
}

PngText png_text(std::span<const uint8_t> bytes) {
  constexpr size_t kSignature = 8, kHeader = 8, kChecksum = 4;
  PngText out;
  size_t at = kSignature;
  while (bytes.size() - at >= kHeader && out.size() < kMaxTexts) {
    const size_t size = size_t{bytes[at]} << 24 | size_t{bytes[at + 1]} << 16 |
                        size_t{bytes[at + 2]} << 8 | size_t{bytes[at + 3]};
    const std::string_view type = text_of(bytes.subspan(at + 4, 4));
    if (size > bytes.size() - at - kHeader || type == "IEND") break;
    if (type == "tEXt" || type == "iTXt")
      add_png_text(type, text_of(bytes.subspan(at + kHeader, size)), out);
    at += kHeader + size;
    at += std::min(kChecksum, bytes.size() - at);
  }
  return out;
}

PngText from_exif(std::span<const uint8_t> tiff) {
  const ExifText text = exif_text(tiff);
  PngText out;
  if (!text.user_comment.empty()) out.emplace_back("parameters", text.user_comment);
  if (!text.description.empty()) out.emplace_back("tintype", text.description);
  return out;
}

PngText jpeg_text(std::span<const uint8_t> bytes) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  size_t at = 2;
  while (bytes.size() - at >= 4 && bytes[at] == 0xFF) {
    const uint8_t marker = bytes[at + 1];
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    if (marker == 0xDA || marker == 0xD9) break;  // pixels, the end
    const size_t size = size_t{bytes[at + 2]} << 8 | bytes[at + 3];
    if (size < 2 || size > bytes.size() - at - 2) break;
    const auto data = bytes.subspan(at + 4, size - 2);
    if (marker == 0xE1 && has(data, kExif)) return from_exif(data.subspan(kExif.size()));
    at += 2 + size;
  }
  return {};
}

PngText webp_text(std::span<const uint8_t> bytes) {
  constexpr size_t kHeader = 8;
  size_t at = 12;
  while (bytes.size() - at >= kHeader) {
    const size_t size = size_t{bytes[at + 4]} | size_t{bytes[at + 5]} << 8 |
                        size_t{bytes[at + 6]} << 16 | size_t{bytes[at + 7]} << 24;
    if (size > bytes.size() - at - kHeader) break;
    auto data = bytes.subspan(at + kHeader, size);
    if (has(bytes, "EXIF", at)) {
      // Some writers keep JPEG's marker in front.
      constexpr std::string_view kExif("Exif\0\0", 6);
      return from_exif(has(data, kExif) ? data.subspan(kExif.size()) : data);
    }
    at += kHeader + size + size % 2;
    if (at > bytes.size()) break;
  }
  return {};
}

}  // namespace

PngText image_text(std::span<const uint8_t> bytes) {
  if (has(bytes, "\x89PNG\r\n\x1A\n")) return png_text(bytes);
  if (has(bytes, "\xFF\xD8\xFF")) return jpeg_text(bytes);
  if (has(bytes, "RIFF") && has(bytes, "WEBP", 8)) return webp_text(bytes);
  fail(ErrorKind::kUnsupported, "image", "must be a PNG, JPEG or WebP picture, got other bytes");
}

}  // namespace tintype
