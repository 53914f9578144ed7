/// Text to image: encode the prompt, denoise latents under guidance, decode. Works on roles; knows
/// no model family. Thread-safe: all state is the request's.
#pragma once

#include "pipelines/diffusion_model.h"
#include "tintype/text_to_image.h"

namespace tintype {

/// Every default filled in and every bound checked.
/// throws kInvalidArgument naming the field
TextToImageSettings resolve_settings(const DiffusionModel& model, const TextToImageRequest& request,
                                     const DiffusionModel* refiner = nullptr);

/// Draws one picture. throws kCancelled, kDeadlineExceeded, kOutOfMemory; kCorruptFile when the
/// networks answer with something that is not a number.
/// A `refiner` removes the last of the noise and decodes; null as in resolve_settings. `bands`: see
/// decode_latents.
TextToImageResult text_to_image(const DiffusionModel& model, TextToImageSettings settings,
                                const RunContext& context, const DiffusionModel* refiner = nullptr,
                                const DecodeBands& bands = {});

/// The stages by themselves, for the memory prediction and tests.

struct Guidance {
  float scale = 1;    ///< read when the conditioning has two rows
  float rescale = 0;  ///< see TextToImageRequest::guidance_rescale
};
/// One network call with guidance: latents [1,h,w,C] -> prediction [1,h,w,C].
Tensor predict(const DiffusionModel& model, const Tensor& latents, float timestep,
               const Conditioning& conditioning, const Guidance& guidance);
/// Latents to a picture [1,H,W,3] in about -1..1. At once, or in bands where they have rows.
Tensor decode_latents(const DiffusionModel& model, const Tensor& latents,
                      const DecodeBands& bands = {});

}  // namespace tintype
