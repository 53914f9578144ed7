/// Inpainting: a part of a picture drawn anew, the rest known. Works on roles; knows no model
/// family. Thread-safe: all state is the request's.
#pragma once

#include <memory>

#include "adapters/adapter.h"
#include "pipelines/resolve_settings.h"
#include "pipelines/stages.h"
#include "tintype/run_context.h"

namespace tintype {

/// As text_to_images. `mask` has the picture's size; null: what settings.inpaint->padding adds.
/// throws kInvalidArgument, before any work, when nothing is marked
/// source  diffusers StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
std::vector<TextToImageResult> inpaint_images(
    const DiffusionModel& model, const TextToImageSettings& settings,
    std::shared_ptr<const Image> image, std::shared_ptr<const Mask> mask, const RunContext& context,
    const DiffusionModel* refiner = nullptr, const PictureBands& bands = {},
    const PictureAdapters& adapters = {});

}  // namespace tintype
