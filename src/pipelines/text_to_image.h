/// Text to image: noise, denoised under the prompt. Works on roles; knows no model family.
/// Thread-safe: all state is the request's.
#pragma once

#include "adapters/adapter.h"
#include "pipelines/resolve_settings.h"
#include "pipelines/stages.h"
#include "tintype/run_context.h"

namespace tintype {

/// Draws settings.batch_size pictures, each as it would be drawn alone (settings_of_picture), and
/// returns them in order; the timings are the batch's. throws kCancelled, kDeadlineExceeded,
/// kOutOfMemory; kCorruptFile when the networks answer with something that is not a number. A
/// `refiner` removes the last of the noise and decodes; null as in resolve_settings. `bands`: see
/// decode_latents. `adapters` add to the model, not to the refiner.
std::vector<TextToImageResult> text_to_images(const DiffusionModel& model,
                                              const TextToImageSettings& settings,
                                              const RunContext& context,
                                              const DiffusionModel* refiner = nullptr,
                                              const PictureBands& bands = {},
                                              const PictureAdapters& adapters = {});

}  // namespace tintype
