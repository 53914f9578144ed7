#include "backend/cpu/caching_allocator.h"

#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>

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

/// Size classes an eighth of a power of two apart, so that near-equal sizes share blocks.
size_t size_class(size_t bytes) {
  size_t step = 512;
  while (step * 16 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

}  // namespace

class CachingAllocator::Pool : public std::enable_shared_from_this<Pool> {
 public:
  explicit Pool(uint64_t budget_bytes) : budget_(budget_bytes) {}
  ~Pool() { release_cached(0, 0); }

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    ++stats_.allocations;
    const auto found = cached_.lower_bound(bytes);
    if (found != cached_.end() && found->first <= bytes + bytes / 8) {
      void* data = found->second;
      ++stats_.cache_hits;
      stats_.cached_bytes -= found->first;
      stats_.live_bytes += found->first;
      sizes_[data] = found->first;
      cached_.erase(found);
      return data;
    }
    // A cached block must never push the peak above what live tensors need.
    release_cached(bytes, stats_.peak_bytes);
    if (budget_ && stats_.live_bytes + bytes > budget_)
      fail(ErrorKind::kOutOfMemory, "allocator", "needed ", bytes, " bytes beside ",
           stats_.live_bytes, " in use, the budget is ", budget_);
    void* data = system_allocate(bytes);
    if (!data) {
      release_cached(bytes, 0);
      data = system_allocate(bytes);
    }
    if (!data)
      fail(ErrorKind::kOutOfMemory, "allocator", "needed ", bytes, " bytes beside ",
           stats_.live_bytes, " in use, the system refused");
    stats_.live_bytes += bytes;
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes + stats_.cached_bytes);
    sizes_[data] = bytes;
    return data;
  }

  void give_back(void* data) {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(data);
    stats_.live_bytes -= found->second;
    stats_.cached_bytes += found->second;
    cached_.emplace(found->second, data);
    sizes_.erase(found);
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    release_cached(0, 0);
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
  }

  AllocatorStats stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  /// Frees cached blocks, largest first, until `bytes` more would stay within `limit`.
  void release_cached(size_t bytes, uint64_t limit) {
    while (!cached_.empty() && stats_.live_bytes + stats_.cached_bytes + bytes > limit) {
      const auto largest = std::prev(cached_.end());
      stats_.cached_bytes -= largest->first;
      std::free(largest->second);
      cached_.erase(largest);
    }
  }

  mutable std::mutex mutex_;
  const uint64_t budget_;
  AllocatorStats stats_;
  std::multimap<size_t, void*> cached_;
  std::map<void*, size_t> sizes_;

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
  const size_t rounded = size_class(std::max<size_t>(bytes, 1));
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
