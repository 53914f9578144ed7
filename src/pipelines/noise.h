/// The noise contract of a request: whose random numbers, from which seed, and how much of a second
/// seed. Drawn on the host, the same on every device and thread count. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace tintype {

struct NoiseOptions {
  std::string rng = "torch";  ///< see noise_names()
  uint64_t seed = 0;
  uint64_t variation_seed = 0;
  float variation_strength = 0;  ///< 0: the seed alone; 1: the variation seed alone
};

/// "torch" (PyTorch's CPU generator: diffusers, ComfyUI), "philox" (its GPU generator: A1111).
std::vector<std::string> noise_names();

/// One image's stream.
class LatentNoise {
 public:
  explicit LatentNoise(const NoiseOptions& options);

  /// Start noise [1,H,W,C], in the reference's order of [1,C,H,W]. With a variation, the two seeds'
  /// noises are mixed along the sphere as A1111 does (modules/rng.py slerp, norms along H).
  Tensor start(const Shape& shape);
  /// Further noise of the seed's stream, for samplers that add some.
  Tensor more(const Shape& shape);

 private:
  using Draw = std::function<void(std::span<float>)>;
  static Draw generator(const std::string& rng, uint64_t seed);

  NoiseOptions options_;
  Draw draw_;
};

/// The streams of a batch, one for each image and none shared: an image of a batch gets the numbers
/// that it would get alone.
class BatchNoise {
 public:
  /// One image for each entry, at least one.
  explicit BatchNoise(const std::vector<NoiseOptions>& images)
      : streams_(images.begin(), images.end()) {}

  /// LatentNoise::start and ::more of every image: [B,H,W,C], B the number of images.
  Tensor start(const Shape& shape);
  Tensor more(const Shape& shape);

 private:
  Tensor of_each(const Shape& shape, Tensor (LatentNoise::*draw)(const Shape&));
  std::vector<LatentNoise> streams_;
};

}  // namespace tintype
