#include "image/resize.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace tintype {
namespace {

// Weights are whole numbers of 2^-22: 8 bits of value and 2 of headroom beside them in 32.
constexpr int kWeightBits = 32 - 8 - 2;

double sinc(double x) {
  return x == 0 ? 1 : std::sin(x * std::numbers::pi) / (x * std::numbers::pi);
}
double lanczos3(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }
/// Keys 1981 with a = -1/2.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// Which inputs one output is made of.
struct Taps {
  int first = 0;
  std::vector<int32_t> weights;
};

/// Of every output along one axis: `count` of them from [begin, end) of an axis of `size`.
std::vector<Taps> taps_of(int size, double begin, double end, int count, ResampleFilter filter) {
  const double scale = (end - begin) / count, stretch = std::max(scale, 1.0);
  const double support = (filter == ResampleFilter::kLanczos ? 3 : 2) * stretch;
  std::vector<Taps> all;
  all.reserve(static_cast<size_t>(count));
  std::vector<double> weights;
  for (int i = 0; i < count; ++i) {
    const double centre = begin + (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int last = std::min(static_cast<int>(centre + support + 0.5), size);
    double sum = 0;
    weights.clear();
    for (int x = first; x < last; ++x) {
      const double at = (x - centre + 0.5) / stretch;
      weights.push_back(filter == ResampleFilter::kLanczos ? lanczos3(at) : bicubic(at));
      sum += weights.back();
    }
    Taps taps{.first = first, .weights = {}};
    for (const double weight : weights) {
      const double whole = (sum == 0 ? weight : weight / sum) * (1 << kWeightBits);
      taps.weights.push_back(static_cast<int32_t>(whole < 0 ? whole - 0.5 : whole + 0.5));
    }
    all.push_back(std::move(taps));
  }
  return all;
}

uint8_t rounded(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

/// Rows [first, last) of the plane, each made `taps.size()` wide.
std::vector<uint8_t> along_rows(const Plane& plane, const std::vector<Taps>& taps, int first,
                                int last) {
  const auto channels = static_cast<size_t>(plane.channels);
  const size_t stride = static_cast<size_t>(plane.width_px) * channels;
  std::vector<uint8_t> out(static_cast<size_t>(last - first) * taps.size() * channels);
  uint8_t* next = out.data();
  for (int y = first; y < last; ++y) {
    const uint8_t* row = plane.bytes.data() + static_cast<size_t>(y) * stride;
    for (const Taps& tap : taps) {
      const uint8_t* from = row + static_cast<size_t>(tap.first) * channels;
      for (size_t c = 0; c < channels; ++c) {
        int32_t sum = 1 << (kWeightBits - 1);
        for (size_t k = 0; k < tap.weights.size(); ++k)
          sum += tap.weights[k] * from[k * channels + c];
        *next++ = rounded(sum);
      }
    }
  }
  return out;
}

/// `stride` bytes a row, `taps.size()` rows.
std::vector<uint8_t> along_columns(std::span<const uint8_t> bytes, size_t stride,
                                   const std::vector<Taps>& taps, int first_row) {
  std::vector<uint8_t> out(taps.size() * stride);
  std::vector<int32_t> sums(stride);
  uint8_t* next = out.data();
  for (const Taps& tap : taps) {
    std::fill(sums.begin(), sums.end(), 1 << (kWeightBits - 1));
    const uint8_t* row = bytes.data() + static_cast<size_t>(tap.first - first_row) * stride;
    for (const int32_t weight : tap.weights) {
      for (size_t i = 0; i < stride; ++i) sums[i] += weight * row[i];
      row += stride;
    }
    for (size_t i = 0; i < stride; ++i) *next++ = rounded(sums[i]);
  }
  return out;
}

/// Copies rows of `from` to (left, top) of `to`, cut to what lies within.
void paste(const Plane& from, int left, int top, std::vector<uint8_t>& to, int width, int height) {
  const int x0 = std::max(left, 0), x1 = std::min(left + from.width_px, width);
  if (x0 >= x1) return;
  const auto channels = static_cast<size_t>(from.channels);
  for (int y = std::max(top, 0); y < std::min(top + from.height_px, height); ++y) {
    const auto source = static_cast<size_t>(y - top) * static_cast<size_t>(from.width_px) +
                        static_cast<size_t>(x0 - left);
    const auto target =
        static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x0);
    std::copy_n(from.bytes.data() + source * channels, static_cast<size_t>(x1 - x0) * channels,
                to.data() + target * channels);
  }
}

struct Size {
  int width, height;
};

/// Sizes as the reference rounds them: covering when `covers`, else within.
Size scaled_size(const Plane& plane, int width, int height, bool covers) {
  const double ratio = static_cast<double>(width) / height;
  const double own = static_cast<double>(plane.width_px) / plane.height_px;
  const auto other = [](int side, int numerator, int denominator) {
    return static_cast<int>(std::max<int64_t>(int64_t{side} * numerator / denominator, 1));
  };
  const bool full_width = covers ? ratio > own : ratio < own;
  return {full_width ? width : other(plane.width_px, height, plane.height_px),
          full_width ? other(plane.height_px, width, plane.width_px) : height};
}

/// Fills what lies beside a picture of `inner` size at (left, top) with the picture's edges.
void fill_edges(const Plane& inner, int left, int top, std::vector<uint8_t>& out, int width,
                int height) {
  const double w = inner.width_px, h = inner.height_px;
  const auto strip = [&](const ResampleBox& box, int x, int y, int strip_w, int strip_h) {
    if (strip_w <= 0 || strip_h <= 0) return;
    const std::vector<uint8_t> bytes =
        resample(inner, strip_w, strip_h, ResampleFilter::kBicubic, box);
    paste({bytes, strip_w, strip_h, inner.channels}, x, y, out, width, height);
  };
  strip({0, 0, w, 0}, 0, 0, width, top);
  strip({0, h, w, h}, 0, top + inner.height_px, width, height - top - inner.height_px);
  strip({0, 0, 0, h}, 0, 0, left, height);
  strip({w, 0, w, h}, left + inner.width_px, 0, width - left - inner.width_px, height);
}

std::vector<uint8_t> fit(const Plane& plane, int width, int height, ResizeMode mode) {
  TT_REQUIRE(width >= 1 && height >= 1, "resize", "sides must be at least 1, got ", width, " x ",
             height);
  TT_REQUIRE(plane.width_px >= 1 && plane.height_px >= 1 &&
                 plane.bytes.size() == static_cast<size_t>(plane.width_px) *
                                           static_cast<size_t>(plane.height_px) *
                                           static_cast<size_t>(plane.channels),
             "resize", "a picture of ", plane.width_px, " x ", plane.height_px,
             " pixels contradicts its ", plane.bytes.size(), " bytes");
  const ResampleBox all{0, 0, static_cast<double>(plane.width_px),
                        static_cast<double>(plane.height_px)};
  if (mode == ResizeMode::kFit)
    return resample(plane, width, height, ResampleFilter::kLanczos, all);
  const Size size = scaled_size(plane, width, height, mode == ResizeMode::kCrop);
  const std::vector<uint8_t> scaled =
      resample(plane, size.width, size.height, ResampleFilter::kLanczos, all);
  const Plane inner{scaled, size.width, size.height, plane.channels};
  std::vector<uint8_t> out(static_cast<size_t>(width) * static_cast<size_t>(height) *
                           static_cast<size_t>(plane.channels));
  const int left = width / 2 - size.width / 2, top = height / 2 - size.height / 2;
  paste(inner, left, top, out, width, height);
  if (mode == ResizeMode::kPad) fill_edges(inner, left, top, out, width, height);
  return out;
}

}  // namespace

std::vector<uint8_t> resample(const Plane& plane, int width_px, int height_px,
                              ResampleFilter filter, const ResampleBox& box) {
  const bool keeps_rows = width_px == plane.width_px && box.left == 0 && box.right == width_px;
  const bool keeps_columns =
      height_px == plane.height_px && box.top == 0 && box.bottom == height_px;
  const std::vector<Taps> down = taps_of(plane.height_px, box.top, box.bottom, height_px, filter);
  const std::vector<Taps> across = taps_of(plane.width_px, box.left, box.right, width_px, filter);
  const size_t in_stride =
      static_cast<size_t>(plane.width_px) * static_cast<size_t>(plane.channels);
  if (keeps_rows && keeps_columns) return {plane.bytes.begin(), plane.bytes.end()};
  if (keeps_rows) return along_columns(plane.bytes, in_stride, down, 0);
  if (keeps_columns) return along_rows(plane, across, 0, plane.height_px);
  // Each pass rounds, so their order shows; where Pillow makes the second one first.
  if (height_px < plane.height_px &&
      2 * (plane.width_px - width_px) < plane.height_px - height_px) {
    const std::vector<uint8_t> lines = along_columns(plane.bytes, in_stride, down, 0);
    return along_rows({lines, plane.width_px, height_px, plane.channels}, across, 0, height_px);
  }
  const int first = down.front().first;
  const int last = down.back().first + static_cast<int>(down.back().weights.size());
  return along_columns(along_rows(plane, across, first, last),
                       static_cast<size_t>(width_px) * static_cast<size_t>(plane.channels), down,
                       first);
}

std::shared_ptr<const Image> fit_image(std::shared_ptr<const Image> image, int width_px,
                                       int height_px, ResizeMode mode) {
  if (image->width_px == width_px && image->height_px == height_px) return image;
  return std::make_shared<Image>(
      Image{width_px, height_px,
            fit({image->rgb, image->width_px, image->height_px, 3}, width_px, height_px, mode)});
}

std::shared_ptr<const Mask> fit_mask(std::shared_ptr<const Mask> mask, int width_px, int height_px,
                                     ResizeMode mode) {
  if (mask->width_px == width_px && mask->height_px == height_px) return mask;
  return std::make_shared<Mask>(
      Mask{width_px, height_px,
           fit({mask->grey, mask->width_px, mask->height_px, 1}, width_px, height_px, mode)});
}

std::vector<AxisPoint> bilinear_axis(int64_t from, int64_t to) {
  std::vector<AxisPoint> axis;
  for (int64_t i = 0; i < to; ++i) {
    const double at = std::clamp(
        (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5,
        0.0, static_cast<double>(from - 1));
    const auto low = static_cast<int64_t>(at);
    axis.push_back(
        {low, std::min(low + 1, from - 1), static_cast<float>(at - static_cast<double>(low))});
  }
  return axis;
}

}  // namespace tintype
