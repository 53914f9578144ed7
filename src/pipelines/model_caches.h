/// What requests to the models of one engine keep for each other. Thread-safe: each cache guards
/// itself.
#pragma once

#include <string>

#include "caches/lru_cache.h"
#include "models/roles.h"

namespace tintype {

struct ModelCaches {
  explicit ModelCaches(uint64_t prompt_bytes) : prompts("prompt_embeddings", prompt_bytes) {}

  /// Features of one text from one encoder, weights applied; see prompt_encoding.cpp for the key.
  LruCache<std::string, TextFeatures> prompts;
};

}  // namespace tintype
