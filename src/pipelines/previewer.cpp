#include "pipelines/previewer.h"

#include <algorithm>
#include <cmath>

#include "image/resize.h"
#include "ops/ops.h"
#include "pipelines/network_calls.h"

namespace tintype {
namespace {

constexpr int kMaxPreviewPx = 2048;
// Predicting noise says nothing about the picture where there is no signal; a bound keeps numbers.
constexpr double kLeastSignal = 1e-6;

/// Colours of the denoised latents of image `index`, [h,w,3].
std::vector<float> colours(const NetworkCall& call, int64_t index, DenoisedWeights weights,
                           const LatentRgb& map) {
  const Tensor input = ops::to_host(call.input.slice(index, index + 1));
  const Tensor prediction = ops::to_host(call.prediction.slice(index, index + 1));
  const size_t channels = map.factors.size();
  const auto inputs = static_cast<size_t>(input.dim(3));
  const std::span<const float> x = input.span<float>(), p = prediction.span<float>();
  std::vector<float> rgb(p.size() / channels * 3);
  for (size_t position = 0; position < rgb.size() / 3; ++position)
    for (size_t k = 0; k < 3; ++k) {
      float sum = map.bias[k];
      for (size_t c = 0; c < channels; ++c)
        sum += map.factors[c][k] * (weights.input * x[position * inputs + c] +
                                    weights.prediction * p[position * channels + c]);
      rgb[position * 3 + k] = sum;
    }
  return rgb;
}

/// Without std::lerp's care for infinities, which costs more than the rest of a preview.
float between(float low, float high, float part) { return low + part * (high - low); }

uint8_t to_byte(float value) {
  // A preview of something that is not a number is grey; the picture itself will be an error.
  const float unit = std::isfinite(value) ? std::clamp(value * 0.5f + 0.5f, 0.0f, 1.0f) : 0.5f;
  return static_cast<uint8_t>(std::lround(unit * 255.0f));
}

}  // namespace

DenoisedWeights denoised_weights(PredictionType type, double alpha) {
  const auto weights = [](double input, double prediction) {
    return DenoisedWeights{static_cast<float>(input), static_cast<float>(prediction)};
  };
  // input = sqrt(alpha) picture + sqrt(1 - alpha) noise, whatever the sampler's own scale is.
  switch (type) {
    case PredictionType::kEpsilon:
      alpha = std::max(alpha, kLeastSignal);
      return weights(1 / std::sqrt(alpha), -std::sqrt((1 - alpha) / alpha));
    case PredictionType::kVPrediction:
      return weights(std::sqrt(alpha), -std::sqrt(1 - alpha));
    case PredictionType::kSample:
      return weights(0, 1);
  }
  return {};
}

Image preview_image(std::span<const float> rgb, int64_t height, int64_t width, int size_px) {
  const int64_t longer = std::max(height, width), size = size_px ? size_px : longer;
  const auto scaled = [&](int64_t side) {
    return std::max<int64_t>(1, (side * size + longer / 2) / longer);
  };
  const std::vector<AxisPoint> rows = bilinear_axis(height, scaled(height));
  const std::vector<AxisPoint> columns = bilinear_axis(width, scaled(width));
  Image image{.width_px = static_cast<int>(columns.size()),
              .height_px = static_cast<int>(rows.size()),
              .rgb = {}};
  image.rgb.reserve(rows.size() * columns.size() * 3);
  for (const AxisPoint& y : rows)
    for (const AxisPoint& x : columns)
      for (size_t k = 0; k < 3; ++k) {
        const auto at = [&](int64_t row, int64_t column) {
          return rgb[static_cast<size_t>(row * width + column) * 3 + k];
        };
        const float upper = between(at(y.low, x.low), at(y.low, x.high), x.part);
        const float lower = between(at(y.high, x.low), at(y.high, x.high), x.part);
        image.rgb.push_back(to_byte(between(upper, lower, y.part)));
      }
  return image;
}

Previewer::Previewer(const DiffusionModel& model, const RunContext& run)
    : model_(model), run_(run) {
  if (!run.on_preview) return;
  TT_REQUIRE(run.preview_every >= 1, "preview_every", "must be at least 1, got ",
             run.preview_every);
  TT_REQUIRE(run.preview_size_px >= 0 && run.preview_size_px <= kMaxPreviewPx, "preview_size_px",
             "must be in 0..", kMaxPreviewPx, ", got ", run.preview_size_px);
  map_ = model.latent_rgb ? *model.latent_rgb : fit_latent_rgb(*model.codec, model.device);
  signal_ = alphas_cumprod(model.schedule, {});
}

void Previewer::show(const NetworkCall& call) const {
  if (!run_.on_preview || call.done % run_.preview_every != 0) return;
  const double last = static_cast<double>(signal_.size() - 1);
  const double sigma =
      sigma_at(signal_, static_cast<float>(std::clamp<double>(call.timestep, 0, last)));
  const DenoisedWeights weights =
      denoised_weights(model_.schedule.prediction_type, 1 / (1 + sigma * sigma));
  for (int64_t i = 0; i < call.input.dim(0); ++i) {
    const std::vector<float> rgb = colours(call, i, weights, map_);
    run_.on_preview(
        {.picture = static_cast<int>(i),
         .step = call.done,
         .steps = call.calls,
         .image = preview_image(rgb, call.input.dim(1), call.input.dim(2), run_.preview_size_px)});
  }
}

}  // namespace tintype
