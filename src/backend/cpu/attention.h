/// Attention without the [S,T] matrix: blocks of queries meet blocks of keys under an online
/// softmax. Deterministic for any thread count. Thread-safe: no state.
/// source  Dao et al. 2022, arXiv:2205.14135 (tiling); Milakov & Gimelshein 2018, arXiv:1805.02867
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/allocator.h"

namespace tintype::cpu {

struct AttentionArgs {
  int64_t images = 0, queries = 0, keys = 0, heads = 0, head_width = 0;
  float scale = 1.0f;
  bool causal = false;
  const float* q = nullptr;  ///< [images, queries, heads * head_width]
  const float* k = nullptr;  ///< [images, keys, heads * head_width]
  const float* v = nullptr;
  float* out = nullptr;  ///< as q
};

/// Scratch (packed keys and values, about their own size, and a block per thread) comes from
/// `allocator`.
void attention(const AttentionArgs& args, Allocator& allocator);

}  // namespace tintype::cpu
