#include "pipelines/inpaint.h"

#include <algorithm>

#include "image/mask.h"
#include "image/resize.h"
#include "ops/ops.h"
#include "pipelines/diffusion_run.h"

namespace tintype {
namespace {

/// The picture and its mask, as given and as drawn.
struct Canvas {
  std::shared_ptr<const Image> image;        ///< with what padding added
  Mask mask;                                 ///< of its size; binary, grown
  std::optional<Region> region;              ///< what is drawn of it, when not all
  std::shared_ptr<const Image> drawn_image;  ///< of the settings' size
  std::shared_ptr<const Mask> drawn_mask;    ///< likewise, binary
};

Canvas prepare(const TextToImageSettings& s, std::shared_ptr<const Image> image,
               const std::shared_ptr<const Mask>& given) {
  const MaskOptions& options = *s.inpaint;
  Mask mask = given ? binary(*given) : Mask{};
  if (given && options.invert) mask = inverted(std::move(mask));
  if (!options.padding.none()) {
    mask = padded_mask(*image, given ? &mask : nullptr, options.padding);
    image = std::make_shared<Image>(padded(*image, options.padding));
  }
  mask = grown(mask, options.grow_px);
  TT_REQUIRE(!marks_nothing(mask), "mask", "must mark something to draw, got nothing marked",
             options.invert ? "" : "; white is drawn, black is kept");
  Canvas canvas{std::move(image), std::move(mask), {}, {}, {}};
  if (options.only_masked) {
    canvas.region =
        region_around(canvas.mask, s.width_px, s.height_px, options.only_masked_padding_px);
    canvas.drawn_image = fit_image(std::make_shared<Image>(cropped(*canvas.image, *canvas.region)),
                                   s.width_px, s.height_px, ResizeMode::kPad);
    canvas.drawn_mask = fit_mask(std::make_shared<Mask>(cropped(canvas.mask, *canvas.region)),
                                 s.width_px, s.height_px, ResizeMode::kPad);
  } else {
    canvas.drawn_image = fit_image(canvas.image, s.width_px, s.height_px, s.resize);
    canvas.drawn_mask =
        fit_mask(std::make_shared<Mask>(canvas.mask), s.width_px, s.height_px, s.resize);
  }
  canvas.drawn_mask = std::make_shared<Mask>(binary(*canvas.drawn_mask));
  return canvas;
}

/// [h,w] of 0 and 1: whether the first pixel of each latent is marked, as the reference's nearest
/// neighbours; of a mask so fine that it has no such pixel, whether any pixel is.
Tensor latent_mask(const Mask& mask, int64_t factor) {
  const int64_t height = mask.height_px / factor, width = mask.width_px / factor;
  Tensor result = empty_host(Shape{height, width});
  const std::span<float> out = result.mutable_span<float>();
  const auto mark = [&](int64_t block) {
    for (size_t i = 0; i < out.size(); ++i) {
      const int64_t top = static_cast<int64_t>(i) / width * factor;
      const int64_t left = static_cast<int64_t>(i) % width * factor;
      out[i] = 0;
      for (int64_t y = top; y < top + block; ++y)
        for (int64_t x = left; x < left + block; ++x)
          if (mask.grey[static_cast<size_t>(y * mask.width_px + x)]) out[i] = 1;
    }
  };
  mark(1);
  if (std::all_of(out.begin(), out.end(), [](float v) { return v == 0; })) mark(factor);
  return result;
}

/// The picture with what the mask covers at 0, the middle of its range.
Tensor without_masked(const Image& image, const Mask& mask, Device device) {
  Tensor picture = to_picture(image, Device::kCpu);
  const std::span<float> values = picture.mutable_span<float>();
  for (size_t i = 0; i < values.size(); ++i)
    if (mask.grey[i / 3]) values[i] = 0;
  return ops::to_device(picture, device);
}

/// [B,h,w,1+C]
Tensor mask_beside(const Tensor& mask, const Tensor& latents) {
  Tensor planes = empty_host(Shape{latents.dim(0), latents.dim(1), latents.dim(2), 1});
  const std::span<float> out = planes.mutable_span<float>();
  const std::span<const float> one = mask.span<float>();
  for (size_t i = 0; i < out.size(); ++i) out[i] = one[i % one.size()];
  return ops::concat_last(planes, latents);
}

/// Noise in place of what the mask covers.
Tensor with_noise(const Tensor& latents, const Tensor& noise, const Tensor& mask) {
  Tensor result = empty_host(latents.shape());
  const std::span<float> out = result.mutable_span<float>();
  const std::span<const float> own = latents.span<float>(), fresh = noise.span<float>(),
                               marks = mask.span<float>();
  const auto channels = static_cast<size_t>(latents.dim(3));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = marks[i / channels % marks.size()] > 0 ? fresh[i] : own[i];
  return result;
}

/// The drawn picture pasted into the one it belongs to.
Image pasted(const Canvas& canvas, const TextToImageSettings& s, Image drawn) {
  if (!s.inpaint->composite) return drawn;
  const int feather = s.inpaint->blur_px;
  if (!canvas.region && !s.keeps_size)
    return composite(*canvas.drawn_image, drawn, feathered(*canvas.drawn_mask, feather));
  const auto fresh = std::make_shared<Image>(std::move(drawn));
  const Image& base = *canvas.image;
  const std::vector<float> weight = feathered(canvas.mask, feather);
  if (!canvas.region)
    return composite(base, *fit_image(fresh, base.width_px, base.height_px, s.resize), weight);
  const Region& region = *canvas.region;
  const auto patch = fit_image(fresh, region.width_px(), region.height_px(), ResizeMode::kCrop);
  return composite(base, with_patch(base, *patch, region), weight);
}

}  // namespace

std::vector<TextToImageResult> inpaint_images(
    const DiffusionModel& model, const TextToImageSettings& settings,
    std::shared_ptr<const Image> image, std::shared_ptr<const Mask> mask, const RunContext& context,
    const DiffusionModel* refiner, const PictureBands& bands, const PictureAdapters& adapters) {
  const Canvas canvas = prepare(settings, std::move(image), mask);
  DiffusionRun run(model, settings, context, refiner, adapters);
  const bool all_noise = settings.strength == 1.0;
  const bool sees_mask = takes_mask(model);
  KnownRegion known{.mask = latent_mask(*canvas.drawn_mask, model.codec->traits().factor)};

  // The order of the reference's draws: the picture's latents, the start noise, the latents of what
  // is known; those also for a network that takes no mask, where nobody reads them.
  if (!sees_mask || !all_noise || refiner) {
    const Image& start = *canvas.drawn_image;
    const bool blurs = settings.inpaint->fill == MaskFill::kBlur;
    known.latents = run.encode(
        to_picture(blurs ? filled_by_blur(start, *canvas.drawn_mask) : start, model.device),
        bands.encode);
  }
  known.noise = run.start_noise();
  if (sees_mask)
    known.extra_channels = mask_beside(
        known.mask,
        run.encode(without_masked(*canvas.drawn_image, *canvas.drawn_mask, model.device),
                   bands.encode));
  else
    run.more_noise();

  Tensor start = known.latents;
  if (!all_noise && settings.inpaint->fill == MaskFill::kNoise)
    start = with_noise(start, run.more_noise(), known.mask);
  const Tensor latents = all_noise ? run.pure(known.noise) : run.noised(start, known.noise);
  std::vector<TextToImageResult> results = run.decode(run.denoise(latents, &known), bands.decode);
  for (TextToImageResult& result : results)
    result.image = pasted(canvas, settings, std::move(result.image));
  return results;
}

}  // namespace tintype
