/// How inpainting treats its mask. Public. Plain values.
#pragma once

namespace tintype {

/// What lies under the mask when drawing begins. It shows below strength 1; at 1 all is noise.
enum class MaskFill {
  kOriginal,  ///< the picture as it is; where the canvas grew, its edges
  kNoise,     ///< noise in place of its latents
  kBlur,      ///< the colours around the mask, smoothly
};

/// Pixels added at the sides.
struct Padding {
  int left = 0, top = 0, right = 0, bottom = 0;
  bool none() const { return left == 0 && top == 0 && right == 0 && bottom == 0; }
};

struct MaskOptions {
  bool invert = false;   ///< draws what the mask leaves out
  Padding padding = {};  ///< outpainting: the canvas grows, and what is new counts as masked
  int grow_px = 0;       ///< 0..512: widens what is drawn
  /// 0..512: width of the feathered edge, inside the (grown) mask, over which the drawn picture
  /// passes into the kept one
  int blur_px = 4;
  /// Draws the rectangle around the mask alone, in the full size of a drawing.
  bool only_masked = false;
  int only_masked_padding_px = 32;  ///< 0..4096: of the picture around the mask, seen too
  MaskFill fill = MaskFill::kOriginal;
  /// Pastes the drawn part into the picture, whose other pixels stay bit for bit. Without, the
  /// result is what the decoder made.
  bool composite = true;
};

}  // namespace tintype
