/// How far two pictures of one size are apart. Public. Pure functions.
/// All throw kInvalidArgument when the pictures differ in size.
#pragma once

#include "tintype/image.h"

namespace tintype {

/// Mean |a - b| over all channels, in levels of 255.
double mean_difference(const Image& a, const Image& b);

/// Peak signal-to-noise ratio over all channels in dB, 20 log10(255 / RMS); infinity for equal
/// pictures.
double psnr(const Image& a, const Image& b);

/// Structural similarity of the luma (Rec. 601), -1..1 and 1 for equal pictures: the mean over all
/// windows of 11 x 11 pixels that lie in the picture, weighted by a Gaussian of deviation 1.5, with
/// K1 = 0.01 and K2 = 0.03. Sides are at least 11 pixels.
/// source  Wang, Bovik, Sheikh, Simoncelli 2004, doi:10.1109/TIP.2003.819861
double ssim(const Image& a, const Image& b);

}  // namespace tintype
