#include "image/jpeg_reader.h"

#include <cstddef>
#include <cstdio>  // jpeglib.h needs FILE and size_t
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <algorithm>
#include <csetjmp>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "image/exif.h"

namespace tintype {
namespace {

constexpr std::string_view kWhere = "read_jpeg";
/// Every block of 8 x 8 takes at least one bit of a file: nothing expands further than this. Held
/// against the size in the header, it keeps a short file from costing a large allocation.
constexpr uint64_t kMaxPixelsPerByte = 512;
/// Progressive files of common programs have about ten scans; each costs a pass over the picture.
constexpr int kMaxScans = 200;
constexpr unsigned kMaxMarkerBytes = 0xFFFF;

/// What the libjpeg calls work on; every C++ object lives outside the frames that a longjmp
/// crosses.
struct Decoder {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "";
  bool truncated = false;
  std::vector<uint8_t> line;  ///< of CMYK

  Decoder() = default;
  ~Decoder() { jpeg_destroy_decompress(&jpeg); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

Decoder& decoder_of(j_common_ptr jpeg) { return *static_cast<Decoder*>(jpeg->client_data); }

[[noreturn]] void on_error(j_common_ptr jpeg) {
  Decoder& decoder = decoder_of(jpeg);
  jpeg->err->format_message(jpeg, decoder.message);
  std::longjmp(decoder.jump, 1);
}

/// Warnings are of no account, but for those that mean missing pixels.
void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  const int code = jpeg->err->msg_code;
  decoder_of(jpeg).truncated |= code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER;
}

void on_progress(j_common_ptr jpeg) {
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number <= kMaxScans) return;
  Decoder& decoder = decoder_of(jpeg);
  std::snprintf(decoder.message, sizeof(decoder.message), "more than %d scans", kMaxScans);
  std::longjmp(decoder.jump, 1);
}

/// The frames that libjpeg's errors return to. False: see Decoder::message.
bool begin(Decoder& decoder) {
  if (setjmp(decoder.jump)) return false;
  jpeg_create_decompress(&decoder.jpeg);
  decoder.progress.progress_monitor = on_progress;
  decoder.jpeg.progress = &decoder.progress;
  return true;
}

bool read_header(Decoder& decoder, std::span<const uint8_t> bytes) {
  if (setjmp(decoder.jump)) return false;
  jpeg_mem_src(&decoder.jpeg, bytes.data(), static_cast<unsigned long>(bytes.size()));
  jpeg_save_markers(&decoder.jpeg, JPEG_APP0 + 1, kMaxMarkerBytes);
  jpeg_read_header(&decoder.jpeg, TRUE);
  const J_COLOR_SPACE space = decoder.jpeg.jpeg_color_space;
  const bool four = space == JCS_CMYK || space == JCS_YCCK;
  decoder.jpeg.out_color_space = four ? JCS_CMYK : JCS_RGB;
  return true;
}

/// Four inks to light, as Pillow: what black leaves, less what the colour takes of that. Adobe's
/// files hold the inks inverted.
void cmyk_to_rgb(const uint8_t* inks, bool inverted, size_t pixels, uint8_t* rgb) {
  for (size_t i = 0; i < pixels; ++i, inks += 4) {
    const auto ink = [&](int k) { return inverted ? 255u - inks[k] : unsigned{inks[k]}; };
    const unsigned light = 255u - ink(3);
    for (int k = 0; k < 3; ++k) {
      const unsigned product = ink(k) * light + 128;
      *rgb++ = static_cast<uint8_t>(light - std::min(light, (product + (product >> 8)) >> 8));
    }
  }
}

bool read_pixels(Decoder& decoder, Image& image) {
  if (setjmp(decoder.jump)) return false;
  jpeg_decompress_struct& jpeg = decoder.jpeg;
  jpeg_start_decompress(&jpeg);
  const size_t width = jpeg.output_width;
  while (jpeg.output_scanline < jpeg.output_height) {
    uint8_t* row = image.rgb.data() + jpeg.output_scanline * width * 3;
    const bool four = jpeg.out_color_space == JCS_CMYK;
    JSAMPROW target = four ? decoder.line.data() : row;
    if (jpeg_read_scanlines(&jpeg, &target, 1) != 1) return false;
    if (four) cmyk_to_rgb(target, jpeg.saw_Adobe_marker, width, row);
  }
  jpeg_finish_decompress(&jpeg);
  return true;
}

int orientation_of(const jpeg_decompress_struct& jpeg) {
  for (const jpeg_marker_struct* m = jpeg.marker_list; m; m = m->next) {
    const std::span<const uint8_t> data(m->data, m->data_length);
    constexpr std::string_view kExif("Exif\0\0", 6);
    if (data.size() >= kExif.size() && std::equal(kExif.begin(), kExif.end(), data.begin()))
      return exif_orientation(data.subspan(kExif.size()));
  }
  return 1;
}

[[noreturn]] void corrupt(const Decoder& decoder, std::string_view origin, std::string_view part) {
  fail(ErrorKind::kCorruptFile, kWhere, origin, " must hold ", part,
       ", got: ", printable(decoder.message[0] ? decoder.message : "an early end"));
}

/// Reads up to the pixels. throws kCorruptFile
void open(Decoder& decoder, std::span<const uint8_t> bytes, std::string_view origin) {
  decoder.jpeg.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = on_error;
  decoder.errors.emit_message = on_message;
  decoder.jpeg.client_data = &decoder;
  if (!begin(decoder)) corrupt(decoder, origin, "a JPEG picture");
  if (!read_header(decoder, bytes)) corrupt(decoder, origin, "a valid JPEG header");
}

}  // namespace

ImageFileInfo inspect_jpeg(std::span<const uint8_t> bytes, std::string_view origin) {
  Decoder decoder;
  open(decoder, bytes, origin);
  return upright({ImageFormat::kJpeg, static_cast<int>(decoder.jpeg.image_width),
                  static_cast<int>(decoder.jpeg.image_height)},
                 orientation_of(decoder.jpeg));
}

Image decode_jpeg(std::span<const uint8_t> bytes, std::string_view origin,
                  const PictureLimits& limits) {
  Decoder decoder;
  open(decoder, bytes, origin);
  const uint64_t width = decoder.jpeg.image_width, height = decoder.jpeg.image_height;
  if (width * height > limits.max_pixels)
    fail(ErrorKind::kUnsupported, kWhere, origin, " must have at most ", limits.max_pixels,
         " pixels, got ", width, " x ", height);
  if (width * height / kMaxPixelsPerByte > bytes.size())
    fail(ErrorKind::kCorruptFile, kWhere, origin, " must hold the ", width, " x ", height,
         " pixels that its header tells of, got a file of ", bytes.size(),
         " bytes, too short for that");
  Image image{
      .width_px = static_cast<int>(width), .height_px = static_cast<int>(height), .rgb = {}};
  image.rgb.resize(static_cast<size_t>(width * height * 3));
  if (decoder.jpeg.out_color_space == JCS_CMYK) decoder.line.resize(static_cast<size_t>(width * 4));
  const int orientation = orientation_of(decoder.jpeg);  // before the markers are freed
  if (!read_pixels(decoder, image)) corrupt(decoder, origin, "whole pixels");
  if (decoder.truncated) corrupt(decoder, origin, "all of its pixels");
  return oriented(std::move(image), orientation);
}

}  // namespace tintype
