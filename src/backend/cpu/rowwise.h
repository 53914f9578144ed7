/// Ops that treat rows or elements alone: normalisations, softmax, activations, sums, casts.
/// Deterministic for any thread count; each image gets the same bits alone or in a batch.
/// Thread-safe: no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/backend.h"

namespace tintype::cpu {

/// Where rows of results go: one of the two.
struct RowOutput {
  float* floats = nullptr;
  std::byte* int8_rows = nullptr;  ///< see tensor/int8_rows.h
};

struct LayerNormArgs {
  const float* x = nullptr;
  int64_t rows = 0, channels = 0;
  const float* weight = nullptr;
  const float* bias = nullptr;
  float eps = 0;
  RowOutput out;
};
void layer_norm(const LayerNormArgs& args);

/// x [images, positions, channels]
struct PictureArgs {
  const float* x = nullptr;
  int64_t images = 1, positions = 0, channels = 0;
};
/// out [images, groups, 2]: mean and variance
void group_moments(const PictureArgs& picture, int groups, float* out);

struct GroupNormArgs {
  int groups = 1;
  const float* weight = nullptr;
  const float* bias = nullptr;
  float eps = 0;
  Activation activation = Activation::kNone;
  const float* moments = nullptr;  ///< [images, groups, 2]; null: the picture's
  RowOutput out;
};
void group_norm(const PictureArgs& picture, const GroupNormArgs& args);
void activate(const float* x, int64_t count, Activation activation, float* out);
/// x [rows, 2 * columns] -> out [rows, columns]
void geglu(const float* x, int64_t rows, int64_t columns, const RowOutput& out);
struct SumTerm {
  float weight;
  const float* x;
};
void weighted_sum(std::span<const SumTerm> terms, int64_t count, float* out);
void cast(const std::byte* x, DType from, int64_t count, DType to, std::byte* out);

}  // namespace tintype::cpu
