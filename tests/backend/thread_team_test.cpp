#include "backend/cpu/thread_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace tintype::cpu {
namespace {

TEST(ThreadTeam, RunsEveryTaskOnce) {
  for (const int threads : {1, 2, 4}) {
    set_thread_count(threads);
    for (const int64_t tasks : {0, 1, 3, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      std::atomic<bool> in_range{true};
      parallel_for(tasks, [&](int64_t task, int thread) {
        ++runs[static_cast<size_t>(task)];
        if (thread < 0 || thread >= threads) in_range = false;
      });
      for (const auto& count : runs) EXPECT_EQ(count, 1);
      EXPECT_TRUE(in_range);
    }
  }
}

TEST(ThreadTeam, ServesSeveralCallersAtOnce) {
  const auto work = [] {
    set_thread_count(3);
    for (int round = 0; round < 300; ++round) {
      std::atomic<int64_t> sum{0};
      parallel_for(50, [&](int64_t task, int) { sum += task; });
      ASSERT_EQ(sum, 49 * 50 / 2);
    }
  };
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) callers.emplace_back(work);
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace tintype::cpu
