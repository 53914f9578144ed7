#include "pipelines/upscale.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "backend/meta/meta_backend.h"
#include "backend/registry.h"
#include "base/check.h"
#include "image/resize.h"
#include "ops/ops.h"

namespace tintype {
namespace {

constexpr double kMaxScale = 8;
constexpr int kLeastTilePx = 16;
constexpr int kMaxResultSidePx = 32768;
constexpr int64_t kMaxResultPixels = int64_t{1} << 28;

int rounded_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

/// The tile's pixels in 0..1, [1,h,w,3]; beyond the picture's edge (where sides must be multiples)
/// its last row and column.
Tensor tile_of(const Image& image, const TileSpan& rows, const TileSpan& columns) {
  Tensor tile = ops::empty(Shape{1, rows.to - rows.from, columns.to - columns.from, 3}, DType::kF32,
                           Device::kCpu);
  float* out = tile.mutable_data<float>();
  for (int y = rows.from; y < rows.to; ++y)
    for (int x = columns.from; x < columns.to; ++x) {
      const auto row = static_cast<size_t>(std::min(y, image.height_px - 1));
      const auto column = static_cast<size_t>(std::min(x, image.width_px - 1));
      const uint8_t* pixel =
          image.rgb.data() + (row * static_cast<size_t>(image.width_px) + column) * 3;
      for (int k = 0; k < 3; ++k) *out++ = static_cast<float>(pixel[k]) / 255.0f;
    }
  return tile;
}

/// The part of an upscaled tile that is its own, into the result.
void place(const Tensor& tile, const TileSpan& rows, const TileSpan& columns, int scale,
           Image& result) {
  const Tensor host = ops::to_host(tile);
  const float* values = host.data<float>();
  const int bottom = std::min(rows.end * scale, result.height_px);
  const int right = std::min(columns.end * scale, result.width_px);
  for (int y = rows.begin * scale; y < bottom; ++y)
    for (int x = columns.begin * scale; x < right; ++x)
      for (int k = 0; k < 3; ++k) {
        const float value =
            values[((y - rows.from * scale) * host.dim(2) + (x - columns.from * scale)) * 3 + k];
        if (!std::isfinite(value))
          fail(ErrorKind::kCorruptFile, "upscale", "the picture must be made of numbers, got ",
               value, "; the network's weights may hold NaN or infinity, or overflow");
        const float unit = std::clamp(value, 0.0f, 1.0f);
        result.rgb[(static_cast<size_t>(y) * static_cast<size_t>(result.width_px) +
                    static_cast<size_t>(x)) *
                       3 +
                   static_cast<size_t>(k)] = static_cast<uint8_t>(std::nearbyint(unit * 255.0f));
      }
}

/// The network's result at another multiple of the picture's size.
Image resized(Image result, const Image& source, double scale) {
  const auto side = [&](int px) { return std::max(1, static_cast<int>(std::lround(px * scale))); };
  const int width = side(source.width_px), height = side(source.height_px);
  TT_REQUIRE(
      std::max(width, height) <= kMaxResultSidePx && int64_t{width} * height <= kMaxResultPixels,
      "upscale", "the result must have at most ", kMaxResultSidePx, " pixels a side and ",
      kMaxResultPixels, " in all, it would have ", width, "x", height);
  const auto whole = std::make_shared<const Image>(std::move(result));
  return *fit_image(whole, width, height, ResizeMode::kFit);
}

void check_options(const UpscaleOptions& options) {
  TT_REQUIRE(options.tile_px == 0 || options.tile_px >= kLeastTilePx, "tile_px", "must be 0 or at ",
             "least ", kLeastTilePx, ", got ", options.tile_px);
  TT_REQUIRE(options.overlap_px >= 0 && options.overlap_px <= kMaxResultSidePx, "overlap_px",
             "must be in 0..", kMaxResultSidePx, ", got ", options.overlap_px);
}

/// The most that a tile looks at.
int longest(const std::vector<TileSpan>& spans) {
  int most = 0;
  for (const TileSpan& span : spans) most = std::max(most, span.to - span.from);
  return most;
}

}  // namespace

std::vector<TileSpan> tile_spans(int size, int multiple, const UpscaleOptions& options) {
  const int whole = rounded_up(size, multiple);
  const int overlap = rounded_up(options.overlap_px, multiple);
  // Tiles of nearly one size: the last is no sliver.
  const int count = options.tile_px == 0 ? 1 : (whole + options.tile_px - 1) / options.tile_px;
  const int step = rounded_up((whole + count - 1) / count, multiple);
  std::vector<TileSpan> spans;
  for (int begin = 0; begin < whole; begin += step) {
    const int end = std::min(begin + step, whole);
    spans.push_back({.begin = begin,
                     .end = end,
                     .from = std::max(begin - overlap, 0),
                     .to = std::min(end + overlap, whole)});
  }
  return spans;
}

MetaUpscaler load_meta_upscaler(const std::filesystem::path& file) {
  const MetaMemory memory;
  MetaUpscaler meta{.network = load_upscaler(file, Device::kMeta)};
  meta.weight_bytes = memory.live_bytes();
  return meta;
}

uint64_t predict_upscale(const UpscalingNetwork& meta, int width_px, int height_px,
                         const UpscaleOptions& options) {
  check_options(options);
  const auto& traits = meta.traits();
  const int multiple = static_cast<int>(traits.multiple);
  const Shape tile{1, longest(tile_spans(height_px, multiple, options)),
                   longest(tile_spans(width_px, multiple, options)), 3};
  const MetaMemory memory;
  meta.forward(ops::empty(tile, DType::kF32, Device::kMeta), {});
  const uint64_t pixels = static_cast<uint64_t>(width_px) * static_cast<uint64_t>(height_px);
  return memory.peak_bytes() + 3 * pixels * static_cast<uint64_t>(traits.scale * traits.scale);
}

Image upscale(const UpscalingNetwork& network, Device device, const Image& image,
              const UpscaleOptions& options, const RunContext& context) {
  check_options(options);
  TT_REQUIRE(image.width_px > 0 && image.height_px > 0 &&
                 image.rgb.size() ==
                     static_cast<size_t>(image.width_px) * static_cast<size_t>(image.height_px) * 3,
             "upscale", "the picture must have pixels and as many as its size says, got ",
             image.width_px, "x", image.height_px, " with ", image.rgb.size(), " bytes");
  TT_REQUIRE(options.scale == 0 || (options.scale >= 1 && options.scale <= kMaxScale), "scale",
             "must be 0 or in 1..", kMaxScale, ", got ", options.scale);
  const auto& traits = network.traits();
  const int64_t width = image.width_px * traits.scale, height = image.height_px * traits.scale;
  TT_REQUIRE(std::max(width, height) <= kMaxResultSidePx && width * height <= kMaxResultPixels,
             "upscale", "the result must have at most ", kMaxResultSidePx, " pixels a side and ",
             kMaxResultPixels, " in all, it would have ", width, "x", height);
  const int scale = static_cast<int>(traits.scale), multiple = static_cast<int>(traits.multiple);
  Image result{
      .width_px = static_cast<int>(width), .height_px = static_cast<int>(height), .rgb = {}};
  result.rgb.resize(static_cast<size_t>(width * height) * 3);
  const std::vector<TileSpan> rows = tile_spans(image.height_px, multiple, options);
  const std::vector<TileSpan> columns = tile_spans(image.width_px, multiple, options);
  const int tiles = static_cast<int>(rows.size() * columns.size());
  int done = 0;
  context.report(Stage::kUpscale, done, tiles);
  for (const TileSpan& row : rows)
    for (const TileSpan& column : columns) {
      const Tensor tile = ops::to_device(tile_of(image, row, column), device);
      place(network.forward(tile, [&] { context.check(); }), row, column, scale, result);
      context.report(Stage::kUpscale, ++done, tiles);
    }
  backend_for(device).trim();
  return options.scale == 0 ? result : resized(std::move(result), image, options.scale);
}

}  // namespace tintype
