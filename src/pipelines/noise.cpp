#include "pipelines/noise.h"

#include <cmath>
#include <memory>

#include "base/philox_rng.h"
#include "base/torch_rng.h"
#include "ops/ops.h"
#include "tensor/allocator.h"

namespace tintype {
namespace {

// Above this mean cosine A1111 mixes linearly: the angle is too small to divide by its sine.
constexpr double kNearlyParallel = 0.9995;

/// Channel planes [C,H,W] laid out [1,H,W,C].
Tensor channels_last(const std::vector<float>& planes, const Shape& shape) {
  const int64_t positions = shape[1] * shape[2], channels = shape[3];
  Tensor noise = empty_host(shape);
  float* out = noise.mutable_data<float>();
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t p = 0; p < positions; ++p)
      out[p * channels + c] = planes[static_cast<size_t>(c * positions + p)];
  return noise;
}

/// Mixes planes [C,H,W] column by column: each (c, w) is a vector along H.
void mix_on_sphere(std::vector<float>& low, const std::vector<float>& high, const Shape& shape,
                   double amount) {
  const size_t height = static_cast<size_t>(shape[1]), width = static_cast<size_t>(shape[2]);
  const size_t columns = static_cast<size_t>(shape[3]) * width;
  std::vector<double> cosines(columns);
  double mean = 0;
  const auto first_of = [&](size_t column) {
    return column / width * height * width + column % width;
  };
  for (size_t column = 0; column < columns; ++column) {
    double dot = 0, low_square = 0, high_square = 0;
    for (size_t y = 0; y < height; ++y) {
      const double a = low[first_of(column) + y * width], b = high[first_of(column) + y * width];
      dot += a * b;
      low_square += a * a;
      high_square += b * b;
    }
    cosines[column] = dot / std::sqrt(low_square * high_square);
    mean += cosines[column] / static_cast<double>(columns);
  }
  for (size_t column = 0; column < columns; ++column) {
    const double angle = std::acos(cosines[column]), sine = std::sin(angle);
    // The reference's linear branch has the two the other way round; it is kept so.
    const bool linear = mean > kNearlyParallel;
    const double keep = linear ? amount : std::sin((1.0 - amount) * angle) / sine;
    const double take = linear ? 1.0 - amount : std::sin(amount * angle) / sine;
    for (size_t y = 0; y < height; ++y) {
      float& value = low[first_of(column) + y * width];
      value = static_cast<float>(keep * value + take * high[first_of(column) + y * width]);
    }
  }
}

}  // namespace

std::vector<std::string> noise_names() { return {"torch", "philox"}; }

LatentNoise::Draw LatentNoise::generator(const std::string& rng, uint64_t seed) {
  if (rng == "philox") {
    return
        [stream = std::make_shared<PhiloxRng>(seed)](std::span<float> out) { stream->randn(out); };
  }
  return [stream = std::make_shared<TorchRng>(seed)](std::span<float> out) { stream->randn(out); };
}

LatentNoise::LatentNoise(const NoiseOptions& options)
    : options_(options), draw_(generator(options.rng, options.seed)) {}

Tensor LatentNoise::start(const Shape& shape) {
  std::vector<float> planes(static_cast<size_t>(shape.numel()));
  draw_(planes);
  if (options_.variation_strength > 0) {
    std::vector<float> other(planes.size());
    generator(options_.rng, options_.variation_seed)(other);
    mix_on_sphere(planes, other, shape, options_.variation_strength);
  }
  return channels_last(planes, shape);
}

Tensor LatentNoise::more(const Shape& shape) {
  std::vector<float> planes(static_cast<size_t>(shape.numel()));
  draw_(planes);
  return channels_last(planes, shape);
}

Tensor BatchNoise::of_each(const Shape& shape, Tensor (LatentNoise::*draw)(const Shape&)) {
  TT_REQUIRE(shape.rank() == 4 && shape[0] == static_cast<int64_t>(streams_.size()), "noise",
             "a batch of ", streams_.size(), " images expected, got ", shape);
  const Shape one{1, shape[1], shape[2], shape[3]};
  std::vector<Tensor> images;
  for (LatentNoise& stream : streams_) images.push_back((stream.*draw)(one));
  return ops::concat_first(images);
}

Tensor BatchNoise::start(const Shape& shape) { return of_each(shape, &LatentNoise::start); }
Tensor BatchNoise::more(const Shape& shape) { return of_each(shape, &LatentNoise::more); }

}  // namespace tintype
