
#include <cstddef>
#include <cstdio>  // jpeglib.h needs FILE and size_t
// clang-format off
#include <jpeglib.h>
// clang-format on

#include <csetjmp>
#include <cstdlib>

#include "base/check.h"
#include "base/text.h"
#include "image/image_writer.h"

namespace tintype {
namespace {

constexpr std::string_view kWhere = "save_image";
/// From here on colours keep the picture's full resolution, as in most programs.
constexpr int kFullColorQuality = 90;

/// What the libjpeg calls work on; every C++ object lives outside the frame that a longjmp crosses.
struct Encoder {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  std::jmp_buf jump;
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  std::vector<uint8_t> marker;
  char message[JMSG_LENGTH_MAX] = "";

  Encoder() = default;
  ~Encoder() {
    jpeg_destroy_compress(&jpeg);
    std::free(bytes);
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
};

[[noreturn]] void on_error(j_common_ptr jpeg) {
  auto* encoder = static_cast<Encoder*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, encoder->message);
  std::longjmp(encoder->jump, 1);
}

/// The only frame that libjpeg's errors return to. False: see Encoder::message.
bool encode(Encoder& encoder, const Image& image, int quality) {
  if (setjmp(encoder.jump)) return false;
  jpeg_compress_struct& jpeg = encoder.jpeg;
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, &encoder.bytes, &encoder.size);
  jpeg.image_width = static_cast<JDIMENSION>(image.width_px);
  jpeg.image_height = static_cast<JDIMENSION>(image.height_px);
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, quality, TRUE);
  jpeg.optimize_coding = TRUE;
  if (quality >= kFullColorQuality)
    jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(&jpeg, TRUE);
  if (!encoder.marker.empty())
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, encoder.marker.data(),
                      static_cast<unsigned>(encoder.marker.size()));
  const size_t stride = static_cast<size_t>(image.width_px) * 3;
  while (jpeg.next_scanline < jpeg.image_height) {
    // libjpeg takes pointers to mutable rows and only reads them.
    JSAMPROW row = const_cast<JSAMPROW>(image.rgb.data() + jpeg.next_scanline * stride);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  return true;
}

}  // namespace

std::vector<uint8_t> encode_jpeg(const Image& image, int quality, std::span<const uint8_t> exif) {
  check_image_size(kWhere, image, JPEG_MAX_DIMENSION);
  Encoder encoder;
  encoder.jpeg.err = jpeg_std_error(&encoder.errors);
  encoder.errors.error_exit = on_error;
  encoder.jpeg.client_data = &encoder;
  if (!exif.empty()) {
    encoder.marker = {'E', 'x', 'i', 'f', 0, 0};
    encoder.marker.insert(encoder.marker.end(), exif.begin(), exif.end());
  }
  if (!encode(encoder, image, quality))
    fail(ErrorKind::kInternal, kWhere,
         "libjpeg must encode the picture, got: ", printable(encoder.message));
  return {encoder.bytes, encoder.bytes + encoder.size};
}

}  // namespace tintype
