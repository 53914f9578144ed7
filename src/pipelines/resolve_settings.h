/// Requests to settings: every default filled in and every bound checked, before any work.
/// Thread-safe: no state.
#pragma once

#include "pipelines/diffusion_model.h"
#include "tintype/inpaint.h"
#include "tintype/text_to_image.h"

namespace tintype {

/// throws kInvalidArgument naming the field; kUnsupported: a model that does not do this
TextToImageSettings resolve_settings(const DiffusionModel& model, const TextToImageRequest& request,
                                     const DiffusionModel* refiner = nullptr);
/// The size is the picture's, rounded down to what the model takes, where the request sets none.
TextToImageSettings resolve_settings(const DiffusionModel& model,
                                     const ImageToImageRequest& request,
                                     const DiffusionModel* refiner = nullptr);

TextToImageSettings resolve_settings(const DiffusionModel& model, const InpaintRequest& request,
                                     const DiffusionModel* refiner = nullptr);

/// Of a request that names none.
int default_steps(const DiffusionModel& model);

/// Whether the network has channels for a mask and the latents of what is known.
bool takes_mask(const DiffusionModel& model);

/// Steps at the start that image to image leaves out, as the reference counts them: `strength`
/// times the steps, cut to a whole number, are made.
int skipped_steps(const TextToImageSettings& settings);

}  // namespace tintype
