#include <webp/encode.h>
#include <webp/mux.h>

#include <memory>

#include "base/check.h"
#include "image/image_writer.h"

namespace tintype {
namespace {

constexpr std::string_view kWhere = "save_image";

/// Frees what libwebp allocated, whichever way the function is left.
struct Encoder {
  WebPPicture picture{};
  WebPMemoryWriter writer{};
  WebPData file{};
  WebPMux* mux = nullptr;

  Encoder() { WebPMemoryWriterInit(&writer); }
  ~Encoder() {
    WebPPictureFree(&picture);
    WebPMemoryWriterClear(&writer);
    WebPDataClear(&file);
    WebPMuxDelete(mux);
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
};

}  // namespace

std::vector<uint8_t> encode_webp(const Image& image, int quality, std::span<const uint8_t> exif) {
  check_image_size(kWhere, image, WEBP_MAX_DIMENSION);
  Encoder encoder;
  const auto require = [](bool done, std::string_view what) {
    if (!done) fail(ErrorKind::kInternal, kWhere, "libwebp must ", what, ", got a refusal");
  };
  WebPConfig config;
  require(WebPConfigInit(&config) && WebPPictureInit(&encoder.picture), "start");
  config.quality = static_cast<float>(quality);
  config.lossless = quality == 100;
  if (config.lossless) config.quality = 75;  // effort, there
  encoder.picture.use_argb = config.lossless;
  encoder.picture.width = image.width_px;
  encoder.picture.height = image.height_px;
  encoder.picture.writer = WebPMemoryWrite;
  encoder.picture.custom_ptr = &encoder.writer;
  require(WebPPictureImportRGB(&encoder.picture, image.rgb.data(), 3 * image.width_px),
          "take the picture");
  require(WebPEncode(&config, &encoder.picture), "encode the picture");
  if (exif.empty()) return {encoder.writer.mem, encoder.writer.mem + encoder.writer.size};

  const WebPData pixels{encoder.writer.mem, encoder.writer.size}, tags{exif.data(), exif.size()};
  encoder.mux = WebPMuxNew();
  require(encoder.mux && WebPMuxSetImage(encoder.mux, &pixels, 0) == WEBP_MUX_OK &&
              WebPMuxSetChunk(encoder.mux, "EXIF", &tags, 0) == WEBP_MUX_OK &&
              WebPMuxAssemble(encoder.mux, &encoder.file) == WEBP_MUX_OK,
          "add the settings");
  return {encoder.file.bytes, encoder.file.bytes + encoder.file.size};
}

}  // namespace tintype
