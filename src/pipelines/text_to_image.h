/// Text to image: encode the prompt, denoise latents under guidance, decode. Works on roles; knows
/// no model family. Thread-safe: all state is the request's.
#pragma once

#include "adapters/adapter.h"
#include "pipelines/diffusion_model.h"
#include "tintype/text_to_image.h"

namespace tintype {

/// Every default filled in and every bound checked.
/// throws kInvalidArgument naming the field
TextToImageSettings resolve_settings(const DiffusionModel& model, const TextToImageRequest& request,
                                     const DiffusionModel* refiner = nullptr);

/// Draws settings.batch_size pictures, each as it would be drawn alone (settings_of_picture), and
/// returns them in order; the timings are the batch's. throws kCancelled, kDeadlineExceeded,
/// kOutOfMemory; kCorruptFile when the networks answer with something that is not a number. A
/// `refiner` removes the last of the noise and decodes; null as in resolve_settings. `bands`: see
/// decode_latents. `adapters` add to the model, not to the refiner.
std::vector<TextToImageResult> text_to_images(const DiffusionModel& model,
                                              TextToImageSettings settings,
                                              const RunContext& context,
                                              const DiffusionModel* refiner = nullptr,
                                              const DecodeBands& bands = {},
                                              const AdapterSet& adapters = {});

/// The settings that draw picture `index` of a batch alone.
TextToImageSettings settings_of_picture(TextToImageSettings settings, int index);

/// The stages by themselves, for the memory prediction and tests.

struct Guidance {
  float scale = 1;    ///< read when the conditioning has two rows for each image
  float rescale = 0;  ///< see TextToImageRequest::guidance_rescale
};
/// One network call with guidance: latents [B,h,w,C] -> prediction [B,h,w,C]. The conditioning has
/// B rows, or for guidance B negative and then B positive ones (for_batch). `reuse`: of one image's
/// calls, see DenoisingNetwork::forward_reusing.
Tensor predict(const DiffusionModel& model, const Tensor& latents, float timestep,
               const Conditioning& conditioning, const Guidance& guidance,
               StepReuse* reuse = nullptr);
/// Latents to a picture [1,H,W,3] in about -1..1. At once, or in bands where they have rows.
Tensor decode_latents(const DiffusionModel& model, const Tensor& latents,
                      const DecodeBands& bands = {});

}  // namespace tintype
