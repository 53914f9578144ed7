/// Step arithmetic on latents that samplers share: reading a network's answer as the clean picture
/// or as the noise, and bounding the picture. Runs through ops, on the latents' device.
/// Latents [B,H,W,C] f32. Pure functions; thread-safe.
#pragma once

#include "samplers/diffusion/noise_schedule.h"
#include "tensor/tensor.h"

namespace tintype {

/// x = alpha * picture + sigma * noise, the two levels of a variance-preserving sampler. In the
/// samplers of Karras et al. alpha is 1 and the network sees x / sqrt(sigma^2 + 1).
struct SignalNoise {
  float alpha = 1;
  float sigma = 0;
};

/// For latents that keep unit variance (DDIM, PNDM, DPM-Solver): alpha^2 + sigma^2 = 1.
Tensor picture_of(PredictionType type, const SignalNoise& level, const Tensor& x,
                  const Tensor& model_output);
Tensor noise_of(PredictionType type, const SignalNoise& level, const Tensor& x,
                const Tensor& model_output);

/// For latents x = picture + sigma * noise (Euler and its relatives).
Tensor picture_at_sigma(PredictionType type, float sigma, const Tensor& x,
                        const Tensor& model_output);
/// What the network sees of such latents: x / sqrt(sigma^2 + 1).
Tensor scaled_to_unit_variance(const Tensor& x, float sigma);

/// Every value limited to [-range, range].
Tensor clip(const Tensor& x, float range);

/// Dynamic thresholding: each image is limited to its own quantile of |x| (within [1, max]) and
/// divided by it. source  Saharia et al. 2022, arXiv:2205.11487
struct ThresholdOptions {
  float ratio = 0.995f;
  float max = 1.0f;
};
Tensor dynamic_threshold(const Tensor& x, const ThresholdOptions& options);

}  // namespace tintype
