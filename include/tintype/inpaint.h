/// Request of inpainting and outpainting. Public. Plain values; the results are text to image's.
#pragma once

#include <memory>

#include "tintype/image_to_image.h"
#include "tintype/mask_options.h"

namespace tintype {

/// A part of a picture drawn anew. Networks with mask channels (StableDiffusionInpaintPipeline) are
/// told of the mask; for others the known part is put back at each step's noise level.
struct InpaintRequest {
  /// Strength 1 unless set. An unset size is the picture's: drawn at the next smaller size that the
  /// model takes, pasted into the picture at its own. With options.only_masked the size is that of
  /// the region's drawing, by default the model's, and the result always has the picture's.
  ImageToImageRequest picture = {.strength = 1.0};
  /// Of the picture's size; from half grey on a pixel is drawn anew. May be unset with padding.
  std::shared_ptr<const Mask> mask = {};
  MaskOptions options = {};
};

}  // namespace tintype
