/// Counts what this program takes from the heap, on every thread. Link heap_counter.cpp, which
/// replaces operator new and aligned_alloc. Test code only.
#pragma once

#include <cstdint>

namespace tintype::testing {

/// Everything so far.
struct HeapCounts {
  uint64_t blocks = 0, bytes = 0;  ///< by operator new
  /// Of those the tensors in host memory (empty_host), which alone ask for a cache line's
  /// alignment.
  uint64_t host_tensors = 0, host_tensor_bytes = 0;
  /// From the system, by aligned_alloc: segments of the caching allocator, and packed weights.
  uint64_t large_blocks = 0;
};

HeapCounts heap_counts();

}  // namespace tintype::testing
