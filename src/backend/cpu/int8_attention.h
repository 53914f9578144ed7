/// Attention with 8-bit products: for plans that allow it. Queries and keys are rounded to 8 bits
/// with a scale for each token, keys after their mean over the tokens is taken away (which the
/// softmax does not see); probabilities to 8 bits of the greatest of their row and block of keys;
/// values, after their mean, with a scale for each channel. Sums are exact in 32 bits, softmax and
/// what is carried from block to block are f32. Thread-safe: no state.
/// source  SageAttention, Zhang et al. 2024, arXiv:2410.02367 (smoothed keys, 8-bit products)
#pragma once

#include "backend/cpu/attention.h"

namespace tintype::cpu {

/// Whether this program and processor have it (AVX-512 with VNNI).
bool has_int8_attention();

/// As attention(), not causal.
void int8_attention(const AttentionArgs& args, Allocator& allocator);

}  // namespace tintype::cpu
