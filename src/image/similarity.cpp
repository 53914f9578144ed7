#include "tintype/similarity.h"

#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/check.h"

namespace tintype {
namespace {

constexpr size_t kWindow = 11;
constexpr double kDeviation = 1.5;
constexpr double kPeak = 255;

void require_alike(const Image& a, const Image& b) {
  const auto whole = [](const Image& image) {
    return image.width_px > 0 && image.height_px > 0 &&
           image.rgb.size() ==
               static_cast<size_t>(image.width_px) * static_cast<size_t>(image.height_px) * 3;
  };
  TT_REQUIRE(whole(a) && whole(b) && a.width_px == b.width_px && a.height_px == b.height_px,
             "similarity", "pictures must be of one size, got ", a.width_px, "x", a.height_px,
             " and ", b.width_px, "x", b.height_px);
}

/// One number a pixel.
struct Plane {
  size_t width, height;
  std::vector<double> values;
};

Plane luma(const Image& image) {
  Plane plane{static_cast<size_t>(image.width_px), static_cast<size_t>(image.height_px), {}};
  plane.values.reserve(plane.width * plane.height);
  for (size_t i = 0; i < image.rgb.size(); i += 3)
    plane.values.push_back(0.299 * image.rgb[i] + 0.587 * image.rgb[i + 1] +
                           0.114 * image.rgb[i + 2]);
  return plane;
}

std::array<double, kWindow> gaussian() {
  std::array<double, kWindow> weights{};
  double sum = 0;
  for (size_t i = 0; i < kWindow; ++i) {
    const double x = static_cast<double>(i) - static_cast<double>(kWindow / 2);
    weights[i] = std::exp(-x * x / (2 * kDeviation * kDeviation));
    sum += weights[i];
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

/// Weighted means of a * b over every window inside the picture; the Gaussian is separable.
Plane window_means(const Plane& a, const Plane& b) {
  static const std::array<double, kWindow> weights = gaussian();
  Plane rows{a.width - kWindow + 1, a.height, {}};
  rows.values.reserve(rows.width * rows.height);
  for (size_t y = 0; y < rows.height; ++y) {
    for (size_t x = 0; x < rows.width; ++x) {
      double sum = 0;
      for (size_t i = 0; i < kWindow; ++i) {
        const size_t at = y * a.width + x + i;
        sum += weights[i] * a.values[at] * b.values[at];
      }
      rows.values.push_back(sum);
    }
  }
  Plane means{rows.width, a.height - kWindow + 1, {}};
  means.values.reserve(means.width * means.height);
  for (size_t y = 0; y < means.height; ++y) {
    for (size_t x = 0; x < means.width; ++x) {
      double sum = 0;
      for (size_t i = 0; i < kWindow; ++i)
        sum += weights[i] * rows.values[(y + i) * rows.width + x];
      means.values.push_back(sum);
    }
  }
  return means;
}

}  // namespace

double mean_difference(const Image& a, const Image& b) {
  require_alike(a, b);
  int64_t sum = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) sum += std::abs(int{a.rgb[i]} - int{b.rgb[i]});
  return static_cast<double>(sum) / static_cast<double>(a.rgb.size());
}

double psnr(const Image& a, const Image& b) {
  require_alike(a, b);
  int64_t squares = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) {
    const int difference = int{a.rgb[i]} - int{b.rgb[i]};
    squares += difference * difference;
  }
  if (squares == 0) return std::numeric_limits<double>::infinity();
  const double mean = static_cast<double>(squares) / static_cast<double>(a.rgb.size());
  return 10 * std::log10(kPeak * kPeak / mean);
}

double ssim(const Image& a, const Image& b) {
  require_alike(a, b);
  TT_REQUIRE(a.width_px >= static_cast<int>(kWindow) && a.height_px >= static_cast<int>(kWindow),
             "ssim", "needs pictures of at least ", kWindow, " pixels each way, got ", a.width_px,
             "x", a.height_px);
  const Plane x = luma(a), y = luma(b);
  const Plane one{x.width, x.height, std::vector<double>(x.values.size(), 1.0)};
  const Plane mean_x = window_means(x, one), mean_y = window_means(y, one), xx = window_means(x, x),
              yy = window_means(y, y), xy = window_means(x, y);
  constexpr double c1 = 0.01 * kPeak * 0.01 * kPeak, c2 = 0.03 * kPeak * 0.03 * kPeak;
  double sum = 0;
  for (size_t i = 0; i < xy.values.size(); ++i) {
    const double mx = mean_x.values[i], my = mean_y.values[i];
    const double variances = xx.values[i] - mx * mx + yy.values[i] - my * my;
    const double covariance = xy.values[i] - mx * my;
    sum +=
        (2 * mx * my + c1) * (2 * covariance + c2) / ((mx * mx + my * my + c1) * (variances + c2));
  }
  return sum / static_cast<double>(xy.values.size());
}

}  // namespace tintype
