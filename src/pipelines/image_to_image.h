/// Image to image: a picture's latents, noised as far as the strength says and denoised under the
/// prompt. Works on roles; knows no model family. Thread-safe: all state is the request's.
#pragma once

#include <memory>

#include "adapters/adapter.h"
#include "pipelines/resolve_settings.h"
#include "pipelines/stages.h"
#include "tintype/run_context.h"

namespace tintype {

/// As text_to_images. An `image` that has the settings' size is not copied.
/// source  diffusers StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline
std::vector<TextToImageResult> image_to_images(const DiffusionModel& model,
                                               const TextToImageSettings& settings,
                                               std::shared_ptr<const Image> image,
                                               const RunContext& context,
                                               const DiffusionModel* refiner = nullptr,
                                               const PictureBands& bands = {},
                                               const PictureAdapters& adapters = {});

}  // namespace tintype
