/// What a cache did so far. Public. Plain values.
#pragma once

#include <cstdint>
#include <string>

namespace tintype {

struct CacheCounters {
  std::string name;  ///< "prompt_embeddings"
  uint64_t hits = 0, misses = 0;
  uint64_t evictions = 0;  ///< entries given up for newer ones; those too large to keep among them
  uint64_t entries = 0;    ///< now
  uint64_t bytes = 0;      ///< of the entries now
  uint64_t budget_bytes = 0;
};

}  // namespace tintype
