/// Request of inpainting and outpainting. Public. Plain values; the results are text to image's.
#pragma once

#include <memory>

#include "tintype/image_to_image.h"

namespace tintype {

/// What lies under the mask when drawing begins. It shows below strength 1; at 1 all is noise.
enum class MaskFill {
  kOriginal,  ///< the picture as it is
  kNoise,     ///< noise in place of its latents
  kBlur,      ///< the colours around the mask, smoothly
};

/// Pixels added at the sides.
struct Padding {
  int left = 0, top = 0, right = 0, bottom = 0;
  bool none() const { return left == 0 && top == 0 && right == 0 && bottom == 0; }
};

/// A part of a picture drawn anew. Networks with mask channels (StableDiffusionInpaintPipeline) are
/// told of the mask; of others the known part is put back at each step's noise level.
struct InpaintRequest {
  /// Its strength is 1 unless set. With only_masked the width and height are those of the region's
  /// drawing, by default the model's own, and the result has the picture's size; without, an unset
  /// size is the picture's (drawn at the next smaller size that the model takes).
  ImageToImageRequest picture = {.strength = 1.0};
  /// Of the picture's size; from half grey on a pixel is drawn anew. May be unset with padding.
  std::shared_ptr<const Mask> mask = {};
  bool invert_mask = false;
  /// Outpainting: the picture grows at its sides, and what is new counts as masked.
  Padding padding = {};
  int mask_grow_px = 0;  ///< 0..512: widens what is drawn
  /// 0..512: width of the feathered edge, inside the (grown) mask, over which the drawn picture
  /// passes into the kept one
  int mask_blur_px = 4;
  /// Draws the rectangle around the mask alone, in full resolution.
  bool only_masked = false;
  int only_masked_padding_px = 32;  ///< 0..4096: of the picture around the mask, seen too
  MaskFill fill = MaskFill::kOriginal;
  /// Pastes the drawn part into the picture, whose other pixels stay bit for bit. Without, the
  /// result is what the decoder made.
  bool composite = true;
};

}  // namespace tintype
