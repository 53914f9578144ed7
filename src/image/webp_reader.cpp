#include "image/webp_reader.h"

#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "base/check.h"
#include "image/exif.h"

namespace tintype {
namespace {

constexpr std::string_view kWhere = "read_webp";

int orientation_of(std::span<const uint8_t> bytes) {
  const WebPData data{bytes.data(), bytes.size()};
  const std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)> demuxer(WebPDemux(&data),
                                                                     WebPDemuxDelete);
  WebPChunkIterator chunk;
  if (!demuxer || !WebPDemuxGetChunk(demuxer.get(), "EXIF", 1, &chunk)) return 1;
  std::span<const uint8_t> exif(chunk.chunk.bytes, chunk.chunk.size);
  // Some programs store the name that only JPEG needs.
  if (exif.size() >= 6 && exif[0] == 'E' && exif[1] == 'x') exif = exif.subspan(6);
  const int orientation = exif_orientation(exif);
  WebPDemuxReleaseChunkIterator(&chunk);
  return orientation;
}

WebPBitstreamFeatures features_of(std::span<const uint8_t> bytes, std::string_view origin) {
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(bytes.data(), bytes.size(), &features);
  if (status != VP8_STATUS_OK || features.width < 1 || features.height < 1)
    fail(ErrorKind::kCorruptFile, kWhere, origin, " must begin with a valid WebP header, got ",
         status == VP8_STATUS_NOT_ENOUGH_DATA ? "a file that ends before it does" : "another");
  if (features.has_animation)
    fail(ErrorKind::kUnsupported, kWhere, origin,
         " must be one picture, got an animation; save one of its frames first");
  return features;
}

uint64_t pixels_of(const WebPBitstreamFeatures& features, std::string_view origin,
                   const PictureLimits& limits) {
  const uint64_t pixels =
      static_cast<uint64_t>(features.width) * static_cast<uint64_t>(features.height);
  if (pixels > limits.max_pixels)
    fail(ErrorKind::kUnsupported, kWhere, origin, " must have at most ", limits.max_pixels,
         " pixels, got ", features.width, " x ", features.height);
  return pixels;
}

[[noreturn]] void fail_pixels(std::string_view origin) {
  fail(ErrorKind::kCorruptFile, kWhere, origin,
       " must hold whole pixels, got a file that ends early or contradicts itself");
}

}  // namespace

ImageFileInfo inspect_webp(std::span<const uint8_t> bytes, std::string_view origin) {
  const WebPBitstreamFeatures features = features_of(bytes, origin);
  return upright({ImageFormat::kWebp, features.width, features.height}, orientation_of(bytes));
}

Image decode_webp(std::span<const uint8_t> bytes, std::string_view origin,
                  const PictureLimits& limits) {
  const WebPBitstreamFeatures features = features_of(bytes, origin);
  const uint64_t pixels = pixels_of(features, origin, limits);
  Image image{.width_px = features.width, .height_px = features.height, .rgb = {}};
  image.rgb.resize(static_cast<size_t>(pixels) * 3);
  if (!WebPDecodeRGBInto(bytes.data(), bytes.size(), image.rgb.data(), image.rgb.size(),
                         3 * image.width_px))
    fail_pixels(origin);
  return oriented(std::move(image), orientation_of(bytes));
}

Image decode_webp_alpha(std::span<const uint8_t> bytes, std::string_view origin,
                        const PictureLimits& limits) {
  const WebPBitstreamFeatures features = features_of(bytes, origin);
  const auto pixels = static_cast<size_t>(pixels_of(features, origin, limits));
  std::vector<uint8_t> rgba(pixels * 4);
  if (!WebPDecodeRGBAInto(bytes.data(), bytes.size(), rgba.data(), rgba.size(), 4 * features.width))
    fail_pixels(origin);
  Image image{.width_px = features.width, .height_px = features.height, .rgb = {}};
  image.rgb.reserve(pixels * 3);
  for (size_t i = 3; i < rgba.size(); i += 4) image.rgb.insert(image.rgb.end(), 3, rgba[i]);
  return oriented(std::move(image), orientation_of(bytes));
}

}  // namespace tintype
