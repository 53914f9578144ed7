/// Request of image to image. Public. Plain values; the results are text to image's.
#pragma once

#include <memory>

#include "tintype/image.h"
#include "tintype/text_to_image.h"

namespace tintype {

/// Pictures from a picture and a prompt. Validated by the pipeline, not by the caller.
struct ImageToImageRequest {
  /// What to draw and how. Width and height unset: the picture's, rounded down to a multiple of
  /// ModelInfo::size_multiple_px.
  TextToImageRequest drawing = {};
  /// Shared with the caller and never copied where it has the size already.
  std::shared_ptr<const Image> image = {};
  /// 0..1: the part of the steps that are made, from that much noise: 0.3 keeps the picture's
  /// composition, 1 hardly anything. At least one step must be left.
  double strength = 0.8;
  ResizeMode resize = ResizeMode::kFit;  ///< where its size is not the one to draw
};

}  // namespace tintype
