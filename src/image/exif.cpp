#include "image/exif.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "image/png_text.h"

namespace tintype {
namespace {

constexpr uint16_t kImageDescription = 0x010E, kOrientation = 0x0112, kExifFolder = 0x8769,
                   kUserComment = 0x9286;
constexpr uint16_t kAscii = 2, kShort = 3, kLong = 4, kUndefined = 7;
constexpr size_t kEntryBytes = 12;

/// Reads numbers in the structure's byte order; past the end they are 0.
class TiffView {
 public:
  explicit TiffView(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool is_big() const { return bytes_[0] == 'M'; }
  bool begin() const {
    if (bytes_.size() < 8) return false;
    const bool marked =
        (bytes_[0] == 'M' && bytes_[1] == 'M') || (bytes_[0] == 'I' && bytes_[1] == 'I');
    return marked && number(2, 2) == 42;
  }
  uint32_t number(size_t at, size_t width) const {
    if (at > bytes_.size() || width > bytes_.size() - at) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < width; ++i)
      value = value << 8 | bytes_[at + (is_big() ? i : width - 1 - i)];
    return value;
  }
  /// The bytes of a folder's entry of text; "" where there is none or it lies outside.
  std::string value(size_t folder, uint16_t tag) const {
    const size_t at = find(folder, tag);
    if (at == 0) return {};
    const size_t size = number(at + 4, 4), type = number(at + 2, 2);
    const size_t from = size <= 4 ? at + 8 : number(at + 8, 4);
    if ((type != kAscii && type != kUndefined) || from > bytes_.size() ||
        size > bytes_.size() - from)
      return {};
    return {reinterpret_cast<const char*>(bytes_.data()) + from, size};
  }
  /// Where another folder lies; 0: there is none.
  size_t link(size_t folder, uint16_t tag) const {
    const size_t at = find(folder, tag);
    return at == 0 ? 0 : number(at + 8, 4);
  }

 private:
  /// Of a folder's entry; 0: there is none.
  size_t find(size_t folder, uint16_t tag) const {
    const size_t entries = number(folder, 2);
    for (size_t i = 0; i < entries; ++i) {
      const size_t at = folder + 2 + i * kEntryBytes;
      if (at + kEntryBytes > bytes_.size()) return 0;
      if (number(at, 2) == tag) return at;
    }
    return 0;
  }

  std::span<const uint8_t> bytes_;
};

/// Big-endian TIFF.
class TiffWriter {
 public:
  void number(uint32_t value, size_t width) {
    for (size_t i = width; i-- > 0;) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
  void entry(uint16_t tag, uint16_t type, size_t count, size_t value) {
    number(tag, 2);
    number(type, 2);
    number(static_cast<uint32_t>(count), 4);
    number(static_cast<uint32_t>(value), 4);
  }
  std::vector<uint8_t> bytes;
};

/// UTF-16, big-endian, of valid UTF-8.
std::string utf16_from_utf8(std::string_view text) {
  std::string out;
  const auto unit = [&out](uint32_t value) {
    out += static_cast<char>(value >> 8);
    out += static_cast<char>(value & 0xff);
  };
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint32_t code = length == 1 ? lead : lead & (0x7Fu >> length);
    for (size_t k = 1; k < length && i + k < text.size(); ++k)
      code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3F);
    i += length;
    if (code < 0x10000) {
      unit(code);
    } else {
      unit(0xD800 + ((code - 0x10000) >> 10));
      unit(0xDC00 + ((code - 0x10000) & 0x3FF));
    }
  }
  return out;
}

/// Half pairs become U+FFFD, as does NUL.
std::string utf8_from_utf16(std::string_view bytes, bool big) {
  std::string out;
  const auto unit = [&](size_t i) -> uint32_t {
    const auto first = static_cast<uint8_t>(bytes[i]), second = static_cast<uint8_t>(bytes[i + 1]);
    return big ? uint32_t{first} << 8 | second : uint32_t{second} << 8 | first;
  };
  const auto put = [&out](uint32_t code) {
    if (code == 0 || (code >= 0xD800 && code < 0xE000)) code = 0xFFFD;
    if (code < 0x80) {
      out += static_cast<char>(code);
      return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    constexpr uint32_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
    out += static_cast<char>(kLead[more] | code >> (6 * more));
    for (int k = more; k-- > 0;) out += static_cast<char>(0x80 | (code >> (6 * k) & 0x3F));
  };
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    const uint32_t code = unit(i);
    const bool pairs = code >= 0xD800 && code < 0xDC00 && i + 3 < bytes.size() &&
                       unit(i + 2) >= 0xDC00 && unit(i + 2) < 0xE000;
    put(pairs ? 0x10000 + ((code - 0xD800) << 10) + (unit(i + 2) - 0xDC00) : code);
    if (pairs) i += 2;
  }
  return out;
}

}  // namespace

int exif_orientation(std::span<const uint8_t> tiff) {
  TiffView view(tiff);
  if (!view.begin()) return 1;
  const size_t folder = view.number(4, 4);
  const size_t entries = view.number(folder, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = folder + 2 + i * kEntryBytes;
    if (at + kEntryBytes > tiff.size()) return 1;
    if (view.number(at, 2) != kOrientation || view.number(at + 2, 2) != kShort) continue;
    const uint32_t value = view.number(at + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

ImageFileInfo upright(ImageFileInfo info, int orientation) {
  if (orientation >= 5 && orientation <= 8) std::swap(info.width_px, info.height_px);
  return info;
}

Image oriented(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool turned = orientation >= 5;  // rows become columns
  const int width = image.width_px, height = image.height_px;
  Image upright{
      .width_px = turned ? height : width, .height_px = turned ? width : height, .rgb = {}};
  upright.rgb.resize(image.rgb.size());
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  uint8_t* out = upright.rgb.data();
  for (int y = 0; y < upright.height_px; ++y) {
    for (int x = 0; x < upright.width_px; ++x, out += 3) {
      const int along = turned ? y : x, down = turned ? x : y;
      const auto column = static_cast<size_t>(from_right ? width - 1 - along : along);
      const auto row = static_cast<size_t>(from_bottom ? height - 1 - down : down);
      std::copy_n(&image.rgb[(row * static_cast<size_t>(width) + column) * 3], 3, out);
    }
  }
  return upright;
}

std::vector<uint8_t> exif_with_text(const std::string& user_comment,
                                    const std::string& description) {
  const std::string about = repair_utf8(description) + '\0';
  const std::string comment =
      std::string("UNICODE\0", 8) + utf16_from_utf8(repair_utf8(user_comment));
  const bool has_about = !description.empty(), has_comment = !user_comment.empty();
  const size_t entries = static_cast<size_t>(has_about) + static_cast<size_t>(has_comment);
  // Header, first folder, EXIF folder with one entry, then the texts.
  const size_t exif_folder = 8 + 2 + entries * kEntryBytes + 4;
  const size_t texts = exif_folder + (has_comment ? 2 + kEntryBytes + 4 : 0);
  TiffWriter out;
  out.bytes = {'M', 'M', 0, 42};
  out.number(8, 4);
  out.number(static_cast<uint32_t>(entries), 2);
  const size_t about_bytes = has_about ? about.size() : 0;
  if (has_about) out.entry(kImageDescription, kAscii, about.size(), texts);
  if (has_comment) out.entry(kExifFolder, kLong, 1, exif_folder);
  out.number(0, 4);
  if (has_comment) {
    out.number(1, 2);
    out.entry(kUserComment, kUndefined, comment.size(), texts + about_bytes);
    out.number(0, 4);
  }
  if (has_about) out.bytes.insert(out.bytes.end(), about.begin(), about.end());
  if (has_comment) out.bytes.insert(out.bytes.end(), comment.begin(), comment.end());
  return std::move(out.bytes);
}

ExifText exif_text(std::span<const uint8_t> tiff) {
  ExifText text;
  const TiffView view(tiff);
  if (!view.begin()) return text;
  const std::string about = view.value(view.number(4, 4), kImageDescription);
  text.description = repair_utf8(about.substr(0, about.find('\0')));
  const size_t exif = view.link(view.number(4, 4), kExifFolder);
  if (exif == 0) return text;
  std::string comment = view.value(exif, kUserComment);
  constexpr size_t kCharset = 8;
  if (comment.size() < kCharset) return text;
  const bool is_utf16 = comment.starts_with("UNICODE");
  comment.erase(0, kCharset);
  text.user_comment = is_utf16 ? utf8_from_utf16(comment, view.is_big()) : repair_utf8(comment);
  return text;
}

}  // namespace tintype
