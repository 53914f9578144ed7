/// Where tensor bytes come from. The interface, and the plain host allocator used for data that
/// outlives a request (weights, test inputs). Backends bring caching allocators of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace tintype {

struct AllocatorStats {
  uint64_t live_bytes = 0;    ///< handed out now
  uint64_t cached_bytes = 0;  ///< kept for reuse
  uint64_t peak_bytes = 0;    ///< highest live + cached so far
  uint64_t allocations = 0;   ///< requests answered
  uint64_t given_bytes = 0;   ///< by all of them
  uint64_t cache_hits = 0;    ///< requests answered without asking the system
};

/// Thread-safe in every implementation.
class Allocator {
 public:
  virtual ~Allocator() = default;
  /// throws kOutOfMemory. The block is 64-byte aligned and not cleared.
  virtual std::shared_ptr<Storage> allocate(size_t bytes) = 0;
  virtual AllocatorStats stats() const = 0;
};

/// Uninitialised tensor from `allocator`.
Tensor empty(Allocator& allocator, const Shape& shape, DType dtype = DType::kF32);

/// Plain aligned host memory, owned by the tensor alone.
Tensor empty_host(const Shape& shape, DType dtype = DType::kF32);
/// Copies `values` into a host tensor. throws kInvalidArgument when the count differs from `shape`
Tensor host_tensor(const Shape& shape, std::span<const float> values);
Tensor host_tensor(const Shape& shape, std::span<const int32_t> values);

}  // namespace tintype
