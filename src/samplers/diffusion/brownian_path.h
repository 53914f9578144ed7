/// Noise of the stochastic solvers: increments of one Brownian path over sigma, scaled to unit
/// variance. W(sigma) is determined by (key of the image, sigma) alone, by bisection of a fixed
/// interval, so a run with more steps, other steps or steps in another order moves along the same
/// path. Single-thread: it remembers the last values.
/// source  Li et al. 2020, arXiv:2001.01328 (virtual Brownian tree); k-diffusion
///         BrownianTreeNoiseSampler, whose numbers differ: the path is ours, the law the same
#pragma once

#include <cstdint>
#include <vector>

#include "samplers/diffusion/sampler.h"

namespace tintype {

class BrownianPath {
 public:
  /// A path over [0, end]; one for each key, all of an image's elements of their own. end > 0
  BrownianPath(std::vector<uint64_t> keys, double end) : keys_(std::move(keys)), end_(end) {}

  /// W at sigma for every element, [keys * per_image]. sigma in [0, end]
  std::vector<double> at(double sigma, size_t per_image) const;

  /// (W(to) - W(from)) / sqrt(|to - from|), of the given [B,H,W,C] shape, B the number of keys.
  /// Zeros when from equals to.
  Tensor between(const Shape& shape, double from, double to);

 private:
  /// `at` with the last two answers kept: a step's end is the next step's start.
  const std::vector<double>& remembered(double sigma, size_t per_image);

  struct Visit {
    double sigma;
    std::vector<double> values;
  };
  std::vector<uint64_t> keys_;
  double end_;
  std::vector<Visit> visits_;  // oldest first
};

/// A key for each image: a hash of its part of `draw`. Images drawn alone or in a batch agree.
std::vector<uint64_t> image_keys(const Tensor& draw);

/// The interval that a checkpoint's paths live on: the smallest power of two, 16 at least, not
/// below its largest level, so that no choice of steps moves it.
double brownian_end(double largest_sigma);

/// The noise of a solver's steps: the injected source, or a path keyed by the first draw of a run.
class SolverNoise {
 public:
  SolverNoise(const SamplerOptions& options, double largest_sigma)
      : injected_(options.step_noise), largest_sigma_(largest_sigma) {}
  Tensor between(const Tensor& x, float from, float to, const NoiseSource& stream);

 private:
  StepNoise injected_;
  double largest_sigma_;
  std::vector<BrownianPath> path_;  // none before the first step, then one
};

}  // namespace tintype
