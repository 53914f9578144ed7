/// Two passes: text to image, then image to image over the enlarged latents or picture. Works on
/// roles; knows no model family. Thread-safe: all state is the request's.
#pragma once

#include <functional>

#include "adapters/adapter.h"
#include "pipelines/resolve_settings.h"
#include "pipelines/stages.h"
#include "tintype/hires.h"
#include "tintype/run_context.h"

namespace tintype {

/// Settings of both passes. A refiner works in the second alone.
struct HiresSettings {
  TextToImageSettings first, second;
};
/// throws kInvalidArgument naming the field
HiresSettings resolve_settings(const DiffusionModel& model, const HiresRequest& request,
                               const DiffusionModel* refiner = nullptr);

/// Makes a picture larger by a network.
using PictureUpscaler = std::function<Image(const Image&)>;

/// As text_to_images. Both passes begin with the noise of the picture's seed, as A1111's; the
/// second draws the pictures of a batch one by one. `network`: for the method of that name.
std::vector<TextToImageResult> hires_images(
    const DiffusionModel& model, const HiresSettings& settings, const PictureUpscaler& network,
    const RunContext& context, const DiffusionModel* refiner = nullptr,
    const PictureBands& bands = {}, const PictureAdapters& adapters = {});

enum class LatentFilter { kBilinear, kBicubic };
/// Latents [1,h,w,C] on the host in another size, not antialiased. source  PyTorch's
/// interpolate(align_corners=False), bicubic with a = -0.75
Tensor resized_latents(const Tensor& latents, int64_t height, int64_t width, LatentFilter filter);

}  // namespace tintype
