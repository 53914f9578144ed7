/// Ops that treat rows or elements alone: normalisations, softmax, activations, sums, casts.
/// Deterministic for any thread count; each image gets the same bits alone or in a batch.
/// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <span>

#include "backend/backend.h"

namespace tintype::cpu {

struct NormArgs {
  const float* x = nullptr;
  int64_t images = 1;     ///< group_norm only
  int64_t positions = 0;  ///< rows (layer_norm) or rows per image (group_norm)
  int64_t channels = 0;
  int groups = 1;
  const float* weight = nullptr;
  const float* bias = nullptr;
  float eps = 0;
  Activation activation = Activation::kNone;
  float* out = nullptr;
};

void layer_norm(const NormArgs& args);
void group_norm(const NormArgs& args);
void activate(const float* x, int64_t count, Activation activation, float* out);
/// x [rows, 2 * columns] -> out [rows, columns]
void geglu(const float* x, int64_t rows, int64_t columns, float* out);
struct SumTerm {
  float weight;
  const float* x;
};
void weighted_sum(std::span<const SumTerm> terms, int64_t count, float* out);
void cast(const std::byte* x, DType from, int64_t count, DType to, std::byte* out);

}  // namespace tintype::cpu
