#include "samplers/diffusion/brownian_path.h"

#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/philox_rng.h"
#include "ops/ops.h"
#include "tensor/allocator.h"

namespace tintype {
namespace {

// 16 / 2^30 is 1.5e-8: below the float32 spacing of every sigma that matters, and a millionth of
// the shortest step of a thousand.
constexpr int kDepth = 30;

/// Adds scale * normal(key, node, element) to every element; four normals from a block of words.
void add_normals(uint64_t key, uint32_t depth, uint64_t index, double scale,
                 std::span<double> values) {
  for (size_t j = 0; j < values.size(); j += 2) {
    const PhiloxCounter words =
        philox4x32({static_cast<uint32_t>(j / 2), depth, static_cast<uint32_t>(index),
                    static_cast<uint32_t>(index >> 32)},
                   key);
    values[j] += scale * philox_normal(words[0], words[1]);
    if (j + 1 < values.size()) values[j + 1] += scale * philox_normal(words[2], words[3]);
  }
}

/// W at `sigma` of one image, written to `value`.
void walk(uint64_t key, double end, double sigma, std::span<double> value) {
  std::vector<double> low(value.size(), 0.0), high(value.size(), 0.0), middle(value.size());
  add_normals(key, 0, 0, std::sqrt(end), high);
  double begin = 0, stop = end;
  uint64_t index = 0;  // of the interval among those of its depth
  for (uint32_t depth = 1; depth <= kDepth && sigma != begin && sigma != stop; ++depth) {
    // Between known ends W is their mean and a deviation of half the root of the length.
    const double centre = (begin + stop) / 2;
    for (size_t j = 0; j < middle.size(); ++j) middle[j] = (low[j] + high[j]) / 2;
    add_normals(key, depth, index, std::sqrt(stop - begin) / 2, middle);
    const bool right = sigma >= centre;
    (right ? low : high).swap(middle);
    (right ? begin : stop) = centre;
    index = 2 * index + (right ? 1 : 0);
  }
  const double w = (sigma - begin) / (stop - begin);
  for (size_t j = 0; j < value.size(); ++j) value[j] = (1 - w) * low[j] + w * high[j];
}

}  // namespace

std::vector<double> BrownianPath::at(double sigma, size_t per_image) const {
  TT_REQUIRE(sigma >= 0 && sigma <= end_, "brownian_path", "sigma must be in [0, ", end_, "], got ",
             sigma);
  std::vector<double> values(keys_.size() * per_image);
  for (size_t image = 0; image < keys_.size(); ++image)
    walk(keys_[image], end_, sigma, std::span(values).subspan(image * per_image, per_image));
  return values;
}

const std::vector<double>& BrownianPath::remembered(double sigma, size_t per_image) {
  for (const Visit& visit : visits_)
    if (visit.sigma == sigma) return visit.values;
  visits_.push_back({sigma, at(sigma, per_image)});
  return visits_.back().values;
}

Tensor BrownianPath::between(const Shape& shape, double from, double to) {
  TT_REQUIRE(shape[0] == static_cast<int64_t>(keys_.size()), "brownian_path", "a batch of ",
             keys_.size(), " images expected, got ", shape);
  Tensor noise = empty_host(shape);
  const size_t per_image = noise.span<float>().size() / keys_.size();
  // Copies: remembering the second may move the first.
  const std::vector<double> start = remembered(from, per_image);
  const std::vector<double>& end = remembered(to, per_image);
  const double length = std::abs(to - from);
  const double scale = length > 0 ? 1 / std::sqrt(length) : 0;
  for (size_t j = 0; j < start.size(); ++j)
    noise.mutable_span<float>()[j] = static_cast<float>((end[j] - start[j]) * scale);
  while (visits_.size() > 2) visits_.erase(visits_.begin());
  return noise;
}

std::vector<uint64_t> image_keys(const Tensor& draw) {
  const auto images = static_cast<size_t>(draw.dim(0));
  const std::span<const float> values = draw.span<float>();
  const size_t per_image = values.size() / images;
  std::vector<uint64_t> keys;
  for (size_t image = 0; image < images; ++image) {
    uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a, a word at a time
    for (const float value : values.subspan(image * per_image, per_image))
      hash = (hash ^ std::bit_cast<uint32_t>(value)) * 0x100000001B3u;
    keys.push_back(hash);
  }
  return keys;
}

double brownian_end(double largest_sigma) {
  double end = 16;
  while (end < largest_sigma) end *= 2;
  return end;
}

Tensor SolverNoise::between(const Tensor& x, float from, float to, const NoiseSource& stream) {
  if (injected_) return ops::to_device(injected_(x.shape(), from, to), x.device());
  if (path_.empty())
    path_.emplace_back(image_keys(stream(x.shape())), brownian_end(largest_sigma_));
  return ops::to_device(path_.front().between(x.shape(), from, to), x.device());
}

}  // namespace tintype
