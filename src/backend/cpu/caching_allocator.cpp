#include "backend/cpu/caching_allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace tintype::cpu {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;

/// nullptr when the system refuses.
void* system_allocate(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
  void* data = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (data && alignment == kHugePage)
    madvise(data, bytes, MADV_HUGEPAGE);  // advice: may be refused
  return data;
}

constexpr size_t kGranule = 512;              // sizes are multiples of it
constexpr size_t kSmallestSegment = 1 << 20;  // what is asked of the system at least

}  // namespace

/// Segments from the system, cut into blocks; neighbouring free blocks are one block again. A
/// denoise step asks for the same sizes in the same order each time, so after the first one it
/// finds its blocks where they were.
class CachingAllocator::Pool : public std::enable_shared_from_this<Pool> {
 public:
  explicit Pool(uint64_t budget_bytes) : budget_(budget_bytes) {}
  ~Pool() { release_free_segments(); }

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    ++stats_.allocations;
    auto found = free_.lower_bound({bytes, nullptr});
    if (found != free_.end()) {
      ++stats_.cache_hits;
    } else {
      add_segment(bytes);
      found = free_.lower_bound({bytes, nullptr});
    }
    std::byte* data = found->second;
    free_.erase(found);
    Block& block = blocks_.at(data);
    if (block.bytes > bytes) {
      add_free(data + bytes, {block.bytes - bytes, block.segment});
      block.bytes = bytes;
    }
    block.free = false;
    stats_.given_bytes += bytes;
    stats_.live_bytes += bytes;
    stats_.cached_bytes -= bytes;
    return data;
  }

  void give_back(void* returned) {
    const std::lock_guard lock(mutex_);
    auto block = blocks_.find(static_cast<std::byte*>(returned));
    stats_.live_bytes -= block->second.bytes;
    stats_.cached_bytes += block->second.bytes;
    const auto next = std::next(block);
    if (next != blocks_.end() && joins(*next, block->second.segment)) absorb(block, next);
    if (block != blocks_.begin() && joins(*std::prev(block), block->second.segment)) {
      const auto before = std::prev(block);
      free_.erase({before->second.bytes, before->first});
      absorb(before, block);
      block = before;
    }
    block->second.free = true;
    free_.emplace(block->second.bytes, block->first);
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    release_free_segments();
  }

  AllocatorStats stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  struct Block {
    size_t bytes;
    std::byte* segment;  ///< where the segment it lies in begins
    bool free = true;
  };
  using Blocks = std::map<std::byte*, Block>;

  static bool joins(const Blocks::value_type& block, const std::byte* segment) {
    return block.second.free && block.second.segment == segment;
  }

  /// `second` follows `first` in one segment; a free `second` is taken off the list of free blocks.
  void absorb(Blocks::iterator first, Blocks::iterator second) {
    if (second->second.free) free_.erase({second->second.bytes, second->first});
    first->second.bytes += second->second.bytes;
    blocks_.erase(second);
  }

  void add_free(std::byte* data, const Block& block) {
    blocks_.emplace(data, block);
    free_.emplace(block.bytes, data);
  }

  void add_segment(size_t wanted) {
    const size_t bytes = std::max(wanted, kSmallestSegment);
    // Free memory must not push the peak above what live tensors need.
    if (stats_.live_bytes + stats_.cached_bytes + bytes > stats_.peak_bytes)
      release_free_segments();
    const uint64_t held = stats_.live_bytes + stats_.cached_bytes;
    if (budget_ && held + bytes > budget_)
      fail(ErrorKind::kOutOfMemory, "allocator", "needed ", bytes, " bytes beside ", held,
           " in use, the budget is ", budget_);
    void* data = system_allocate(bytes);
    if (!data) {
      release_free_segments();
      data = system_allocate(bytes);
    }
    if (!data)
      fail(ErrorKind::kOutOfMemory, "allocator", "needed ", bytes, " bytes beside ", held,
           " in use, the system refused");
    auto* segment = static_cast<std::byte*>(data);
    segments_.emplace(segment, bytes);
    add_free(segment, {bytes, segment});
    stats_.cached_bytes += bytes;
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes + stats_.cached_bytes);
  }

  /// Gives back to the system every segment of which no part is in use.
  void release_free_segments() {
    for (auto segment = segments_.begin(); segment != segments_.end();) {
      const auto block = blocks_.find(segment->first);
      if (!block->second.free || block->second.bytes != segment->second) {
        ++segment;
        continue;
      }
      free_.erase({block->second.bytes, block->first});
      blocks_.erase(block);
      stats_.cached_bytes -= segment->second;
      std::free(segment->first);
      segment = segments_.erase(segment);
    }
  }

  mutable std::mutex mutex_;
  const uint64_t budget_;
  AllocatorStats stats_;
  Blocks blocks_;                                 ///< every block by address
  std::set<std::pair<size_t, std::byte*>> free_;  ///< the free ones by size
  std::map<std::byte*, size_t> segments_;

  friend class CachingAllocator;
};

namespace {

/// A block on loan; it goes back to its pool, which it keeps alive.
template <typename Pool>
class PooledStorage final : public Storage {
 public:
  PooledStorage(std::shared_ptr<Pool> pool, void* data, size_t bytes)
      : Storage(static_cast<std::byte*>(data), bytes, Device::kCpu), pool_(std::move(pool)) {}
  ~PooledStorage() override { pool_->give_back(data()); }

 private:
  std::shared_ptr<Pool> pool_;
};

}  // namespace

CachingAllocator::CachingAllocator(uint64_t budget_bytes)
    : pool_(std::make_shared<Pool>(budget_bytes)) {}
CachingAllocator::~CachingAllocator() = default;

std::shared_ptr<Storage> CachingAllocator::allocate(size_t bytes) {
  const size_t rounded = (std::max<size_t>(bytes, 1) + kGranule - 1) / kGranule * kGranule;
  void* data = pool_->take(rounded);
  try {
    return std::make_shared<PooledStorage<Pool>>(pool_, data, bytes);
  } catch (...) {
    pool_->give_back(data);
    throw;
  }
}

AllocatorStats CachingAllocator::stats() const { return pool_->stats(); }
void CachingAllocator::trim() { pool_->trim(); }

std::shared_ptr<std::byte[]> allocate_weights(size_t bytes) {
  void* data = system_allocate(std::max<size_t>(bytes, 1));
  if (!data)
    fail(ErrorKind::kOutOfMemory, "weights", "needed ", bytes,
         " bytes for packed weights, the system refused");
  return {static_cast<std::byte*>(data), [](std::byte* block) { std::free(block); }};
}

}  // namespace tintype::cpu
