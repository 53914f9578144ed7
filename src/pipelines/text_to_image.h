/// Text to image: encode the prompt, denoise latents under guidance, decode. Works on roles; knows no
/// model family. Thread-safe: all state is the request's.
#pragma once

#include "pipelines/diffusion_model.h"
#include "tintype/text_to_image.h"

namespace tintype {

/// Every default filled in and every bound checked.
/// throws kInvalidArgument naming the field
TextToImageSettings resolve_settings(const DiffusionModel& model,
                                     const TextToImageRequest& request);

/// Draws one picture. throws kCancelled, kDeadlineExceeded, kOutOfMemory; kCorruptFile when the
/// networks answer with something that is not a number
TextToImageResult text_to_image(const DiffusionModel& model, TextToImageSettings settings,
                                const RunContext& context);

/// The stages by themselves, for the memory prediction and tests.

/// Prompt (and, under guidance, negative prompt first) to features [1 or 2, S, E].
Tensor encode_prompt(const DiffusionModel& model, const TextToImageSettings& settings);
/// One network call with guidance: latents [1,h,w,C] -> prediction [1,h,w,C].
Tensor predict(const DiffusionModel& model, const Tensor& latents, float timestep,
               const Tensor& context, float guidance_scale);
/// Latents to a picture [1,H,W,3] in about -1..1.
Tensor decode_latents(const DiffusionModel& model, const Tensor& latents);

}  // namespace tintype
