#include "image/png_reader.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/text.h"
#include "image/exif.h"
#include "image/png_text.h"

namespace tintype {
namespace {

constexpr std::string_view kWhere = "read_png";
/// Far above any picture within the pixel bound that compresses at all.
constexpr size_t kMaxFileBytes = size_t{1} << 30;
/// One deflate block spends at least 2 bits on 258 bytes: nothing expands further than 1032 times.
/// Held against the size in the header, it keeps a short file from costing a large allocation.
constexpr uint64_t kMaxDeflateRatio = 1032;
constexpr uint32_t kMaxChunks = 256;
constexpr size_t kMaxChunkBytes = 8u << 20;

/// What the libpng calls work on; as in the writer, every C++ object lives outside the frames that
/// a longjmp crosses.
struct Decoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::span<const uint8_t> rest;
  std::vector<png_bytep> rows;
  char message[200] = "";

  Decoder() = default;
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* decoder = static_cast<Decoder*>(png_get_error_ptr(png));
  std::snprintf(decoder->message, sizeof(decoder->message), "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, size_t size) {
  auto* decoder = static_cast<Decoder*>(png_get_io_ptr(png));
  if (size > decoder->rest.size()) png_error(png, "the file ends early");
  std::memcpy(out, decoder->rest.data(), size);
  decoder->rest = decoder->rest.subspan(size);
}

/// Up to the pixels. False: see Decoder::message.
bool read_header(Decoder& decoder) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_set_read_fn(decoder.png, &decoder, on_read);
  png_set_user_limits(decoder.png, kMaxPngSidePx, kMaxPngSidePx);
  png_set_chunk_cache_max(decoder.png, kMaxChunks);
  png_set_chunk_malloc_max(decoder.png, kMaxChunkBytes);
  png_read_info(decoder.png, decoder.info);
  return true;
}

/// Asks for 8-bit RGB whatever the file holds.
bool set_transforms(Decoder& decoder) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_set_expand(decoder.png);
  png_set_scale_16(decoder.png);
  png_set_gray_to_rgb(decoder.png);
  png_set_strip_alpha(decoder.png);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  return true;
}

/// The pixels, then the chunks after them.
bool read_pixels(Decoder& decoder) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_read_image(decoder.png, decoder.rows.data());
  png_read_end(decoder.png, decoder.info);
  return true;
}

void require_png_signature(std::span<const uint8_t> bytes, std::string_view origin) {
  if (bytes.size() >= 8 && png_sig_cmp(bytes.data(), 0, 8) == 0) return;
  const auto starts = [&](std::string_view magic) {
    return bytes.size() >= magic.size() &&
           std::equal(magic.begin(), magic.end(), bytes.begin(),
                      [](char m, uint8_t b) { return static_cast<uint8_t>(m) == b; });
  };
  const char* other = starts("\xFF\xD8\xFF") ? "JPEG"
                      : starts("GIF8")       ? "GIF"
                      : starts("RIFF")       ? "WebP"
                                             : nullptr;
  if (other)
    fail(ErrorKind::kUnsupported, kWhere, origin, " must be a PNG, got a ", other,
         " picture; convert it first");
  fail(ErrorKind::kCorruptFile, kWhere, origin, " must begin with the PNG signature, got ",
       bytes.size() < 8 ? "a file of less than 8 bytes" : "other bytes; is it a PNG?");
}

/// Refuses sizes that the bounds or the length of the file rule out.
void check_size(const Decoder& decoder, size_t file_bytes, std::string_view origin,
                const PictureLimits& limits) {
  const uint64_t width = png_get_image_width(decoder.png, decoder.info);
  const uint64_t height = png_get_image_height(decoder.png, decoder.info);
  if (width * height > limits.max_pixels)
    fail(ErrorKind::kUnsupported, kWhere, origin, " must have at most ", limits.max_pixels,
         " pixels, got ", width, " x ", height);
  const uint64_t bits = uint64_t{png_get_bit_depth(decoder.png, decoder.info)} *
                        png_get_channels(decoder.png, decoder.info);
  const uint64_t packed_bytes = (width * bits + 7) / 8 * height;
  if (packed_bytes / kMaxDeflateRatio > file_bytes)
    fail(ErrorKind::kCorruptFile, kWhere, origin, " must hold the ", packed_bytes,
         " bytes of pixels that its header tells of, got a file of ", file_bytes,
         " bytes, too short for that at any compression");
}

void read_text(const Decoder& decoder, PngText& out) {
  png_textp text = nullptr;
  int count = 0;
  png_get_text(decoder.png, decoder.info, &text, &count);
  for (int i = 0; i < count; ++i) {
    const bool utf8 = text[i].compression >= PNG_ITXT_COMPRESSION_NONE;
    const size_t length = utf8 ? text[i].itxt_length : text[i].text_length;
    const std::string_view bytes = text[i].text ? std::string_view(text[i].text, length) : "";
    out.emplace_back(utf8_from_latin1(text[i].key),
                     repair_utf8(utf8 ? std::string(bytes) : utf8_from_latin1(bytes)));
  }
}

int orientation_of(const Decoder& decoder) {
  png_uint_32 size = 0;
  png_bytep exif = nullptr;
  if (!png_get_eXIf_1(decoder.png, decoder.info, &size, &exif)) return 1;
  return exif_orientation({exif, size});
}

constexpr size_t kChunkHeader = 8, kChecksum = 4;

uint32_t number_at(std::span<const uint8_t> bytes, size_t at) {
  return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 | uint32_t{bytes[at + 2]} << 8 |
         bytes[at + 3];
}

bool is_chunk(std::span<const uint8_t> bytes, size_t at, const char* name) {
  return std::memcmp(bytes.data() + at + 4, name, 4) == 0;
}

/// Of a PNG's bytes, its pixels unread; it may also stand behind them.
int orientation_in_chunks(std::span<const uint8_t> bytes) {
  size_t at = 8;
  while (bytes.size() - at >= kChunkHeader) {
    const size_t size = number_at(bytes, at), left = bytes.size() - at - kChunkHeader;
    if (size > left) break;
    if (is_chunk(bytes, at, "eXIf"))
      return exif_orientation(bytes.subspan(at + kChunkHeader, size));
    if (left - size < kChecksum) break;
    at += kChunkHeader + size + kChecksum;
  }
  return 1;
}

}  // namespace

ImageFileInfo inspect_png(std::span<const uint8_t> bytes, std::string_view origin) {
  require_png_signature(bytes, origin);
  constexpr size_t kSignature = 8, kSizeBytes = 8;
  if (bytes.size() < kSignature + kChunkHeader + kSizeBytes || !is_chunk(bytes, kSignature, "IHDR"))
    fail(ErrorKind::kCorruptFile, kWhere, origin, " must hold a valid PNG header, got another");
  const uint32_t width = number_at(bytes, kSignature + kChunkHeader),
                 height = number_at(bytes, kSignature + kChunkHeader + 4);
  if (width < 1 || height < 1 || width > kMaxPngSidePx || height > kMaxPngSidePx)
    fail(ErrorKind::kCorruptFile, kWhere, origin, " must have sides of 1 to ", kMaxPngSidePx,
         " pixels, got ", width, " x ", height);
  return upright({ImageFormat::kPng, static_cast<int>(width), static_cast<int>(height)},
                 orientation_in_chunks(bytes));
}

Image decode_png(std::span<const uint8_t> bytes, std::string_view origin, PngText* text,
                 const PictureLimits& limits) {
  require_png_signature(bytes, origin);
  Decoder decoder;
  decoder.rest = bytes;
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
  if (decoder.png) decoder.info = png_create_info_struct(decoder.png);
  if (!decoder.info)
    fail(ErrorKind::kOutOfMemory, kWhere, "libpng must start, got no memory for it");

  const auto corrupt = [&](std::string_view part) {
    fail(ErrorKind::kCorruptFile, kWhere, origin, " must hold ", part,
         ", got: ", printable(decoder.message));
  };
  if (!read_header(decoder)) corrupt("a valid PNG header");
  check_size(decoder, bytes.size(), origin, limits);
  if (!set_transforms(decoder)) corrupt("pixels that can become 8-bit RGB");

  Image image;
  image.width_px = static_cast<int>(png_get_image_width(decoder.png, decoder.info));
  image.height_px = static_cast<int>(png_get_image_height(decoder.png, decoder.info));
  const size_t stride = static_cast<size_t>(image.width_px) * 3;
  if (png_get_rowbytes(decoder.png, decoder.info) != stride)
    fail(ErrorKind::kInternal, kWhere, origin, ": rows must become ", stride, " bytes, got ",
         png_get_rowbytes(decoder.png, decoder.info));
  image.rgb.resize(stride * static_cast<size_t>(image.height_px));
  for (size_t y = 0; y < static_cast<size_t>(image.height_px); ++y)
    decoder.rows.push_back(image.rgb.data() + y * stride);
  if (!read_pixels(decoder)) corrupt("whole pixels and chunks");
  if (text) read_text(decoder, *text);
  return oriented(std::move(image), orientation_of(decoder));
}

Image decode_png_alpha(std::span<const uint8_t> bytes, std::string_view origin,
                       const PictureLimits& limits) {
  const ImageFileInfo info = inspect_png(bytes, origin);
  const uint64_t pixels =
      static_cast<uint64_t>(info.width_px) * static_cast<uint64_t>(info.height_px);
  if (pixels > limits.max_pixels)
    fail(ErrorKind::kUnsupported, kWhere, origin, " must have at most ", limits.max_pixels,
         " pixels, got ", info.width_px, " x ", info.height_px);
  // A bit a pixel at least.
  if (pixels / 8 / kMaxDeflateRatio > bytes.size())
    fail(ErrorKind::kCorruptFile, kWhere, origin, " must hold ", pixels, " pixels, got a file of ",
         bytes.size(), " bytes, too short for that");
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> freed(&png, png_image_free);
  const auto corrupt = [&] {
    fail(ErrorKind::kCorruptFile, kWhere, origin,
         " must hold whole pixels and chunks, got: ", printable(png.message));
  };
  if (!png_image_begin_read_from_memory(&png, bytes.data(), bytes.size())) corrupt();
  Image image{static_cast<int>(png.width), static_cast<int>(png.height), {}};
  const bool has_alpha = (png.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  png.format = PNG_FORMAT_GA;
  std::vector<uint8_t> grey_alpha(static_cast<size_t>(pixels) * 2);
  if (PNG_IMAGE_SIZE(png) != grey_alpha.size())
    fail(ErrorKind::kInternal, kWhere, origin, ": rows must become ", grey_alpha.size(), " bytes");
  if (!png_image_finish_read(&png, nullptr, grey_alpha.data(), 0, nullptr)) corrupt();
  image.rgb.reserve(static_cast<size_t>(pixels) * 3);
  for (size_t i = 1; i < grey_alpha.size(); i += 2)
    image.rgb.insert(image.rgb.end(), 3, has_alpha ? grey_alpha[i] : uint8_t{255});
  return oriented(std::move(image), orientation_in_chunks(bytes));
}

Image read_png(const std::filesystem::path& path, PngText* text) {
  const std::string bytes = read_text_file(path, kMaxFileBytes);
  return decode_png({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
                    printable(path.string()), text);
}

}  // namespace tintype
