/// What inpainting does with masks and pictures before and after the network. Pure functions;
/// thread-safe. Pictures and masks that go together have one size.
#pragma once

#include <optional>
#include <vector>

#include "tintype/image.h"
#include "tintype/mask_options.h"

namespace tintype {

/// 255 from half grey on, else 0.
Mask binary(Mask mask);
Mask inverted(Mask mask);
/// Every marked pixel marks the square of `px` pixels around it.
Mask grown(const Mask& mask, int px);
bool marks_nothing(const Mask& mask);

/// Weight of the drawn picture at each pixel of a binary mask: 0 outside the mask, inside rising
/// from its edge to 1 over `px` pixels; the picture's border is no edge.
std::vector<float> feathered(const Mask& mask, int px);
/// `base` with `drawn` laid over it by weight; weight 0 leaves the base's bytes as they are.
Image composite(const Image& base, const Image& drawn, const std::vector<float>& weight);

/// Pixels [left, right) x [top, bottom).
struct Region {
  int left = 0, top = 0, right = 0, bottom = 0;
  int width_px() const { return right - left; }
  int height_px() const { return bottom - top; }
};
/// The rectangle around the mask, `padding_px` wider on each side and then widened to the shape of
/// width x height as far as the picture allows. source  diffusers VaeImageProcessor.get_crop_region
Region region_around(const Mask& mask, int width_px, int height_px, int padding_px);
Image cropped(const Image& image, const Region& region);
Mask cropped(const Mask& mask, const Region& region);
/// `base` with `patch` in place of the region, which has its size.
Image with_patch(Image base, const Image& patch, const Region& region);

/// What the mask covers filled smoothly with the colours around it.
Image filled_by_blur(const Image& image, const Mask& mask);

/// A larger picture, its edges repeated; and the mask of what is new, with `mask` in the middle
/// where there is one.
Image padded(const Image& image, const Padding& padding);
Mask padded_mask(const Image& image, const Mask* mask, const Padding& padding);

}  // namespace tintype
