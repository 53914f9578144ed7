/// Pictures and masks to other sizes, through an antialiased filter; positions for resizing without
/// one. Pure functions; thread-safe.
/// source  the convolution, its 8-bit passes and rounding are Pillow's Image.resize (13.0), bit for
///         bit; the modes are diffusers' VaeImageProcessor.resize
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tintype/image.h"

namespace tintype {

enum class ResampleFilter { kBicubic, kLanczos };

/// Rows of `channels` interleaved bytes.
struct Plane {
  std::span<const uint8_t> bytes;
  int width_px = 0, height_px = 0;
  int channels = 3;
};

/// A part of a plane, in pixels that need not be whole.
struct ResampleBox {
  double left = 0, top = 0, right = 0, bottom = 0;
};

/// `box` of the plane scaled to width x height. Sides at least 1.
std::vector<uint8_t> resample(const Plane& plane, int width_px, int height_px,
                              ResampleFilter filter, const ResampleBox& box);

/// The picture or mask in this size; itself, not a copy, when it has the size.
std::shared_ptr<const Image> fit_image(std::shared_ptr<const Image> image, int width_px,
                                       int height_px, ResizeMode mode);
std::shared_ptr<const Mask> fit_mask(std::shared_ptr<const Mask> mask, int width_px, int height_px,
                                     ResizeMode mode);

/// Where a sample of an axis made `to` long from `from` lies: `part` of the way from one of the
/// old samples to the next. Not antialiased. source  PyTorch's interpolate(align_corners=False)
struct AxisPoint {
  int64_t low = 0, high = 0;
  float part = 0;
};
std::vector<AxisPoint> bilinear_axis(int64_t from, int64_t to);

}  // namespace tintype
