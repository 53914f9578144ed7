#include "backend/cpu/caching_allocator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

namespace tintype::cpu {
namespace {

TEST(CachingAllocator, ReusesABlockOfTheSameSize) {
  CachingAllocator allocator;
  const std::byte* first = allocator.allocate(100000)->data();
  const auto second = allocator.allocate(100000);
  EXPECT_EQ(second->data(), first);
  EXPECT_EQ(allocator.stats().cache_hits, 1u);
  EXPECT_EQ(allocator.stats().allocations, 2u);
}

TEST(CachingAllocator, CutsAFreeBlockAndJoinsItsPartsAgain) {
  CachingAllocator allocator;
  const std::byte* whole = allocator.allocate(4 << 20)->data();
  {
    const auto first = allocator.allocate(1 << 20), second = allocator.allocate(2 << 20),
               third = allocator.allocate(1 << 20);
    EXPECT_EQ(first->data(), whole);
    EXPECT_EQ(allocator.stats().cached_bytes, 0u);
  }
  EXPECT_EQ(allocator.allocate(4 << 20)->data(), whole);
  EXPECT_EQ(allocator.stats().peak_bytes, uint64_t{4} << 20);
}

TEST(CachingAllocator, TheSameSizesInTheSameOrderNeedTheSystemNoMore) {
  CachingAllocator allocator;
  std::vector<std::shared_ptr<Storage>> kept;
  const auto step = [&] {
    for (const size_t megabytes : {3, 1, 7, 2, 2, 9, 4, 1}) {
      kept.push_back(allocator.allocate(megabytes << 20));
      if (kept.size() > 3) kept.erase(kept.begin() + 1);
    }
    kept.clear();
  };
  step();
  step();
  const AllocatorStats before = allocator.stats();
  step();
  const AllocatorStats after = allocator.stats();
  EXPECT_EQ(after.cache_hits - before.cache_hits, after.allocations - before.allocations);
}

TEST(CachingAllocator, CachedBlocksDoNotRaiseThePeak) {
  CachingAllocator allocator;
  allocator.allocate(64 << 20);  // freed at once, now cached
  const auto other = allocator.allocate(48 << 20);
  EXPECT_EQ(allocator.stats().peak_bytes, uint64_t{64} << 20);
  const auto larger = allocator.allocate(80 << 20);
  EXPECT_EQ(allocator.stats().peak_bytes, uint64_t{144} << 20);
}

TEST(CachingAllocator, BudgetIsAClearError) {
  CachingAllocator allocator(4 << 20);
  const auto held = allocator.allocate(3 << 20);
  try {
    allocator.allocate(2 << 20);
    ADD_FAILURE() << "exceeded its budget";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kOutOfMemory);
    EXPECT_NE(std::string(error.what()).find("budget"), std::string::npos);
  }
  EXPECT_NO_THROW(allocator.allocate(1 << 20));
}

TEST(CachingAllocator, BlocksMayOutliveIt) {
  std::shared_ptr<Storage> block;
  {
    CachingAllocator allocator;
    block = allocator.allocate(4096);
  }
  std::memset(block->data(), 7, block->bytes());
}

TEST(CachingAllocator, IsAlignedAndThreadSafe) {
  CachingAllocator allocator;
  const auto work = [&] {
    for (size_t i = 1; i < 200; ++i) {
      const auto block = allocator.allocate(i * 37);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block->data()) % 64, 0u);
      std::memset(block->data(), 1, block->bytes());
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allocator.stats().live_bytes, 0u);
  allocator.trim();
  EXPECT_EQ(allocator.stats().cached_bytes, 0u);
}

}  // namespace
}  // namespace tintype::cpu
