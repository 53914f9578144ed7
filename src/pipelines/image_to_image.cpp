#include "pipelines/image_to_image.h"

#include "image/resize.h"
#include "pipelines/diffusion_run.h"

namespace tintype {

std::vector<TextToImageResult> image_to_images(
    const DiffusionModel& model, const TextToImageSettings& settings,
    std::shared_ptr<const Image> image, const RunContext& context, const DiffusionModel* refiner,
    const PictureBands& bands, const PictureAdapters& adapters) {
  image = fit_image(std::move(image), settings.width_px, settings.height_px, settings.resize);
  DiffusionRun run(model, settings, context, refiner, adapters);
  // Draws before the start noise, as the reference.
  const Tensor picture = run.encode(to_picture(*image, model.device), bands.encode);
  const Tensor start = run.noised(picture, run.start_noise());
  return run.decode(run.denoise(start), bands.decode);
}

}  // namespace tintype
