/// Host memory for activations, kept for reuse: a denoise step asks for the same few sizes over and
/// over, and fresh pages from the system cost more than the small ops that fill them.
/// Thread-safe (one mutex). Blocks may outlive the allocator object; they then go to the system.
#pragma once

#include <memory>

#include "tensor/allocator.h"

namespace tintype::cpu {

class CachingAllocator final : public Allocator {
 public:
  /// `budget_bytes` bounds what is held of the system, in use or not; 0 is no bound.
  explicit CachingAllocator(uint64_t budget_bytes = 0);
  ~CachingAllocator() override;

  /// Cuts the block from the smallest free one that holds it; otherwise asks the system, giving
  /// segments without a block in use back first when the peak would rise. throws kOutOfMemory
  /// naming the budget
  std::shared_ptr<Storage> allocate(size_t bytes) override;
  AllocatorStats stats() const override;
  /// Gives back to the system what no block is in use of: between the stages of a request.
  void trim();

 private:
  class Pool;
  std::shared_ptr<Pool> pool_;
};

/// 64-byte aligned memory for weights; large blocks ask for huge pages, which spares the products'
/// long panel walks most of their TLB misses. throws kOutOfMemory
std::shared_ptr<std::byte[]> allocate_weights(size_t bytes);

}  // namespace tintype::cpu
