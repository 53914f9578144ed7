#include "pipelines/image_to_image.h"

#include "pipelines/diffusion_run.h"

namespace tintype {

std::vector<TextToImageResult> image_to_images(const DiffusionModel& model,
                                               const TextToImageSettings& settings,
                                               const Image& image, const RunContext& context,
                                               const DiffusionModel* refiner,
                                               const DecodeBands& bands) {
  TT_REQUIRE(image.width_px == settings.width_px && image.height_px == settings.height_px, "image",
             "must be ", settings.width_px, " x ", settings.height_px, " pixels, got ",
             image.width_px, " x ", image.height_px);
  DiffusionRun run(model, settings, context, refiner);
  const Tensor picture = run.encode(image);  // draws before the start noise, as the reference
  const Tensor start = run.noised(picture, run.start_noise());
  return run.decode(run.denoise(start), bands);
}

}  // namespace tintype
