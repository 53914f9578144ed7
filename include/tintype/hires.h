/// Request of a picture in two passes: drawn at the size that the model knows, made larger, and
/// drawn over at that size (A1111's hires fix). Public. Plain values; the results are text to
/// image's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tintype/text_to_image.h"
#include "tintype/upscale.h"

namespace tintype {

struct HiresRequest {
  /// The first pass: its size is not the result's.
  TextToImageRequest drawing = {};
  double scale = 2;  ///< 1..8; the result's sides are rounded down to what the model takes
  /// 0..1, of the second pass; see ImageToImageRequest::strength. What is made larger as latents
  /// needs 0.5 and more to lose its blocks, pictures less.
  double strength = 0.6;
  /// "latent" (bilinear) or "latent-bicubic": the latents are made larger, as PyTorch's
  /// interpolate; "lanczos": the decoded picture; "network": by `upscaler`.
  std::string method = "latent";
  std::shared_ptr<const Upscaler> upscaler = {};  ///< for "network"
  UpscaleOptions upscale = {};
};

/// The names that HiresRequest::method accepts.
std::vector<std::string> hires_methods();

}  // namespace tintype
