#include "caches/lru_cache.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tintype::testing {
namespace {

using Cache = LruCache<std::string, int>;

/// The keys that are still there, without counting.
bool holds(Cache& cache, const std::string& key) {
  const auto found = cache.find(key);
  return found != nullptr;
}

TEST(LruCache, FindsWhatWasInsertedAndCounts) {
  Cache cache("numbers", 100);
  EXPECT_EQ(cache.find("a"), nullptr);
  EXPECT_EQ(*cache.insert("a", 1, 10), 1);
  ASSERT_NE(cache.find("a"), nullptr);
  EXPECT_EQ(*cache.find("a"), 1);
  const CacheCounters counters = cache.counters();
  EXPECT_EQ(counters.name, "numbers");
  EXPECT_EQ(counters.hits, 2u);
  EXPECT_EQ(counters.misses, 1u);
  EXPECT_EQ(counters.entries, 1u);
  EXPECT_EQ(counters.bytes, 10u);
  EXPECT_EQ(counters.budget_bytes, 100u);
}

TEST(LruCache, TheLeastRecentlyUsedGoesFirst) {
  Cache cache("numbers", 30);
  cache.insert("a", 1, 10);
  cache.insert("b", 2, 10);
  cache.insert("c", 3, 10);
  cache.find("a");
  cache.insert("d", 4, 10);
  EXPECT_TRUE(holds(cache, "a"));
  EXPECT_FALSE(holds(cache, "b"));
  EXPECT_TRUE(holds(cache, "c"));
  EXPECT_TRUE(holds(cache, "d"));
  EXPECT_EQ(cache.counters().evictions, 1u);
}

TEST(LruCache, ALargeValueTakesTheRoomOfSeveral) {
  Cache cache("numbers", 30);
  for (const char* key : {"a", "b", "c"}) cache.insert(key, 1, 10);
  cache.insert("large", 2, 25);
  EXPECT_EQ(cache.counters().entries, 1u);
  EXPECT_EQ(cache.counters().bytes, 25u);
  EXPECT_EQ(cache.counters().evictions, 3u);
}

TEST(LruCache, NeverOverItsBudget) {
  Cache cache("numbers", 1000);
  for (int i = 0; i < 500; ++i) {
    cache.insert(std::to_string(i * 7 % 90), i, static_cast<uint64_t>(i * 13 % 400));
    EXPECT_LE(cache.counters().bytes, 1000u);
  }
}

TEST(LruCache, WhatExceedsTheBudgetIsReturnedAndNotKept) {
  Cache cache("numbers", 30);
  cache.insert("a", 1, 10);
  EXPECT_EQ(*cache.insert("huge", 2, 31), 2);
  EXPECT_FALSE(holds(cache, "huge"));
  EXPECT_TRUE(holds(cache, "a"));
  Cache none("nothing", 0);
  none.insert("a", 1, 1);
  EXPECT_EQ(none.counters().entries, 0u);
}

TEST(LruCache, AnEvictedValueLivesWhileItIsUsed) {
  Cache cache("numbers", 10);
  const Cache::Handle first = cache.insert("a", 1, 10);
  cache.insert("b", 2, 10);
  EXPECT_FALSE(holds(cache, "a"));
  EXPECT_EQ(*first, 1);
  cache.clear();
  EXPECT_EQ(cache.counters().bytes, 0u);
  EXPECT_EQ(*first, 1);
}

TEST(LruCache, TheFirstOfTwoThatMakeTheSameStays) {
  Cache cache("numbers", 100);
  const Cache::Handle first = cache.insert("a", 1, 10);
  EXPECT_EQ(cache.insert("a", 2, 10), first);
  EXPECT_EQ(cache.counters().bytes, 10u);
  cache.erase("a");
  EXPECT_EQ(cache.counters().bytes, 0u);
  EXPECT_EQ(cache.counters().evictions, 0u);
}

TEST(LruCache, MakesOnlyWhatIsMissing) {
  Cache cache("numbers", 100);
  int made = 0;
  const auto make = [&] { return std::pair<int, uint64_t>(++made, 10); };
  EXPECT_EQ(*cache.find_or_make("a", make), 1);
  EXPECT_EQ(*cache.find_or_make("a", make), 1);
  EXPECT_EQ(made, 1);
}

TEST(LruCache, ThreadsShareIt) {
  Cache cache("numbers", 200);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&cache] {
      for (int i = 0; i < 2000; ++i) {
        const int number = i % 50;
        const auto value = cache.find_or_make(std::to_string(number),
                                              [&] { return std::pair<int, uint64_t>(number, 10); });
        EXPECT_EQ(*value, number);
      }
    });
  for (std::thread& thread : threads) thread.join();
  const CacheCounters counters = cache.counters();
  EXPECT_EQ(counters.hits + counters.misses, 8000u);
  EXPECT_LE(counters.bytes, 200u);
}

}  // namespace
}  // namespace tintype::testing
