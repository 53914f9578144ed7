#include "pipelines/text_to_image.h"

#include "pipelines/diffusion_run.h"

namespace tintype {

std::vector<TextToImageResult> text_to_images(
    const DiffusionModel& model, const TextToImageSettings& settings, const RunContext& context,
    const DiffusionModel* refiner, const PictureBands& bands, const PictureAdapters& adapters) {
  DiffusionRun run(model, settings, context, refiner, adapters);
  const Tensor start = run.pure(run.start_noise());
  return run.decode(run.denoise(start), bands.decode);
}

}  // namespace tintype
