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
  bool begin() {
    if (bytes_.size() < 8) return false;
    big_ = bytes_[0] == 'M';
    const bool marked =
        (bytes_[0] == 'M' && bytes_[1] == 'M') || (bytes_[0] == 'I' && bytes_[1] == 'I');
    return marked && number(2, 2) == 42;
  }
  uint32_t number(size_t at, size_t width) const {
    if (at > bytes_.size() || width > bytes_.size() - at) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < width; ++i) value = value << 8 | bytes_[at + (big_ ? i : width - 1 - i)];
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
  bool big_ = false;
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

}  // namespace tintype
