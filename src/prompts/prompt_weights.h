/// Weights of a prompt applied to the text encoder's features. Pure functions.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace tintype {

enum class WeightRule {
  kMeanRestore,    ///< A1111: times the weight, then each window scaled back to its mean
  kAwayFromEmpty,  ///< ComfyUI: (z - z_empty) * weight + z_empty
};

/// features  [W,S,E] f32, any device: one row a window
/// weights   [W*S]; all 1 returns `features` itself, so that plain text stays exact
/// empty     [1,S,E], the features of the empty window; kAwayFromEmpty only, else undefined
/// Sums in double. A mean that cannot be restored (0, or not finite) is left as it is.
/// throws kInvalidArgument: shapes
/// source  AUTOMATIC1111 modules/sd_emphasis.py "Original"; ComfyUI comfy/sd1_clip.py
///         ClipTokenWeightEncoder
Tensor apply_prompt_weights(const Tensor& features, std::span<const float> weights, WeightRule rule,
                            const Tensor& empty = {});

/// Windows joined along the tokens: [W,S,E] -> [1,W*S,E]. Shares the bytes.
Tensor join_windows(const Tensor& features);

}  // namespace tintype
