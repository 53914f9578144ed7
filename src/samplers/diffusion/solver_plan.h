/// The run of a multistep solver in lambda = log(alpha / sigma) whose latents keep unit variance
/// (DPM-Solver, UniPC, DEIS): whole timesteps and the levels they stand for.
/// Immutable values, pure functions; thread-safe.
/// source  diffusers 0.42.1, DPMSolverMultistepScheduler.set_timesteps and its relatives
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "samplers/diffusion/latent_math.h"
#include "samplers/diffusion/sampler.h"

namespace tintype {

/// A sigma as signal and noise level of unit variance, and their log ratio; float32 as the
/// reference's scalars.
struct SolverLevel {
  explicit SolverLevel(float s);
  SignalNoise signal_noise() const { return {alpha, sigma}; }
  float alpha, sigma, lambda;
};

/// The sigma after the last step of a spacing by karras, exponential or beta.
enum class LastSpacedSigma {
  kAsConfigured,         ///< 0, or the table's first: final_sigmas_type
  kZeroOrLastOfSpacing,  ///< 0, or the spacing's last again
  kLastOfSpacing,        ///< the spacing's last again
};

/// What classes differ in.
struct SolverPlanRules {
  std::string_view sampler;  ///< for messages
  NoiseTableOptions table = {};
  LastSpacedSigma last = LastSpacedSigma::kAsConfigured;
  bool final_sigma_is_fixed = false;  ///< the class has no final_sigmas_type and ends above 0
  bool clips_lambda = false;          ///< reads lambda_min_clipped
  bool cosine_karras_is_cut = false;  ///< Karras timesteps of the cosine schedule: cut, not rounded
};

struct SolverPlan {
  std::vector<float> timesteps;  ///< of each call
  std::vector<float> sigmas;     ///< one more: the level after the last call
  float table_max = 0;           ///< the training table's largest sigma
};

/// throws kUnsupported, kInvalidArgument
SolverPlan solver_plan(const NoiseScheduleConfig& config, const SolverPlanRules& rules,
                       const SamplerOptions& options);

/// Throws kInvalidArgument when a step's weights are not numbers, where the reference returns NaN:
/// two equal levels in a row, or an order above 1 into sigma 0.
void require_finite(std::string_view sampler, std::span<const float> weights, int steps);

}  // namespace tintype
