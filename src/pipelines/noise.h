/// The noise contract of a request: whose random numbers, from which seed, and how much of a second
/// seed. Drawn on the host, the same on every device and thread count. One object is one image's
/// stream; not thread-safe.
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

}  // namespace tintype
