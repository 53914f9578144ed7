#include "pipelines/stages.h"

#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace tintype {
namespace {

/// Standard deviation of all elements with Bessel's correction, as torch.std.
double deviation(const Tensor& x) {
  const Tensor host = ops::to_host(x);
  double sum = 0, squares = 0;
  for (const float value : host.span<float>()) sum += value;
  const double count = static_cast<double>(host.numel()), mean = sum / count;
  for (const float value : host.span<float>()) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (count - 1));
}

/// Takes back some of guidance's gain in contrast, for each image by its own deviations.
/// source  Lin et al. 2023, arXiv:2305.08891, section 3.4
Tensor rescale_guided(const Tensor& guided, const Tensor& conditional, float rescale) {
  std::vector<Tensor> images;
  for (int64_t i = 0; i < guided.dim(0); ++i) {
    const Tensor one = guided.slice(i, i + 1);
    const double ratio = deviation(conditional.slice(i, i + 1)) / deviation(one);
    const double weight = rescale * ratio + (1.0 - rescale);
    images.push_back(ops::weighted_sum({{static_cast<float>(weight), &one}}));
  }
  return ops::concat_first(images);
}

}  // namespace

Tensor predict(const DiffusionModel& model, const Tensor& latents, float timestep,
               const Conditioning& conditioning, const Guidance& guidance, StepReuse* reuse) {
  const int64_t images = latents.dim(0);
  const DenoisingNetwork& network = *model.network;
  const Tensor both = reuse ? network.forward_reusing(latents, timestep, conditioning, *reuse)
                            : network.forward(latents, timestep, conditioning);
  if (both.dim(0) == images) return both;
  // Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598), both halves in one call.
  const Tensor unconditional = both.slice(0, images), conditional = both.slice(images, 2 * images);
  const Tensor direction = ops::weighted_sum({{1.0f, &conditional}, {-1.0f, &unconditional}});
  const Tensor guided = ops::weighted_sum({{1.0f, &unconditional}, {guidance.scale, &direction}});
  return guidance.rescale > 0 ? rescale_guided(guided, conditional, guidance.rescale) : guided;
}

Tensor encode_picture(const DiffusionModel& model, const Tensor& picture, const CodecBands& bands) {
  return bands.rows ? model.codec->encode_in_bands(picture, bands)
                    : model.codec->encode_moments(picture);
}

Tensor decode_latents(const DiffusionModel& model, const Tensor& latents, const CodecBands& bands) {
  const Tensor unscaled =
      ops::weighted_sum({{1.0f / model.codec->traits().scaling_factor, &latents}});
  return bands.rows ? model.codec->decode_in_bands(unscaled, bands) : model.codec->decode(unscaled);
}

Image to_image(const Tensor& picture) {
  const Tensor host = ops::to_host(picture);
  Image image{.width_px = static_cast<int>(host.dim(2)),
              .height_px = static_cast<int>(host.dim(1)),
              .rgb = {}};
  image.rgb.reserve(static_cast<size_t>(host.numel()));
  for (const float value : host.span<float>()) {
    if (!std::isfinite(value))
      fail(ErrorKind::kCorruptFile, "decode", "the picture must be made of numbers, got ", value,
           "; the checkpoint's weights may hold NaN or infinity, or overflow");
    const float unit = std::min(std::max(value * 0.5f + 0.5f, 0.0f), 1.0f);
    image.rgb.push_back(
        static_cast<uint8_t>(std::nearbyint(unit * 255.0f)));  // ties to even, as numpy
  }
  return image;
}

Tensor to_picture(const Image& image, Device device) {
  Tensor picture = empty_host(Shape{1, image.height_px, image.width_px, 3});
  const std::span<float> out = picture.mutable_span<float>();
  TT_REQUIRE(out.size() == image.rgb.size(), "picture", "a picture of ", image.width_px, " x ",
             image.height_px, " must hold ", out.size(), " bytes, got ", image.rgb.size());
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = 2.0f * (static_cast<float>(image.rgb[i]) / 255.0f) - 1.0f;
  return ops::to_device(picture, device);
}

Tensor sample_posterior(const DiffusionModel& model, const Tensor& moments, const Tensor& noise) {
  const Tensor host = ops::to_host(moments);
  const std::span<const float> stored = host.span<float>(), drawn = noise.span<float>();
  const auto channels = static_cast<size_t>(noise.dim(3));
  const float scale = model.codec->traits().scaling_factor;
  Tensor latents = empty_host(noise.shape());
  const std::span<float> out = latents.mutable_span<float>();
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t channel = i % channels, position = i / channels % (stored.size() / 2 / channels);
    const float* here = stored.data() + position * 2 * channels;
    const float log_variance = std::clamp(here[channels + channel], -30.0f, 20.0f);
    out[i] = scale * (here[channel] + std::exp(0.5f * log_variance) * drawn[i]);
    if (!std::isfinite(out[i]))
      fail(ErrorKind::kCorruptFile, "encode", "the latents must be numbers, got ", out[i],
           "; the autoencoder's weights may hold NaN or infinity, or overflow");
  }
  return ops::to_device(latents, model.device);
}

}  // namespace tintype
