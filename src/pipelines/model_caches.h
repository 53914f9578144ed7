/// What requests to the models of one engine keep for each other. Thread-safe: each cache guards
/// itself.
#pragma once

#include <string>

#include "caches/lru_cache.h"
#include "models/roles.h"

namespace tintype {

struct ModelCaches {
  explicit ModelCaches(uint64_t prompt_bytes, uint64_t encoding_bytes = 0)
      : prompts("prompt_embeddings", prompt_bytes), encodings("image_encodings", encoding_bytes) {}
  uint64_t bytes() const { return prompts.counters().bytes + encodings.counters().bytes; }

  /// Features of one text from one encoder, weights applied; see prompt_encoding.cpp for the key.
  LruCache<std::string, TextFeatures> prompts;
  /// Posterior moments [1,h,w,2C] of a picture, by the model and the picture's pixels.
  LruCache<std::string, Tensor> encodings;
};

}  // namespace tintype
