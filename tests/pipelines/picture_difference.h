// How far a drawn picture is from the reference's.
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/tensor.h"
#include "tintype/image.h"

namespace tintype::testing {

constexpr double kMeanTolerance = 0.5;  // of 255

struct PictureDifference {
  double mean = 255, largest = 255;  // of 255; all of it where the sizes differ
};

/// expected: u8 [H,W,3]
inline PictureDifference difference_of(const Image& image, const Tensor& expected) {
  if (static_cast<int64_t>(image.rgb.size()) != expected.numel()) return {};
  double sum = 0, largest = 0;
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    const double one =
        std::abs(static_cast<int>(image.rgb[i]) - static_cast<int>(expected.data<uint8_t>()[i]));
    sum += one;
    largest = std::max(largest, one);
  }
  return {.mean = sum / static_cast<double>(image.rgb.size()), .largest = largest};
}

}  // namespace tintype::testing
