#include "backend/cpu/thread_team.h"

#include <omp.h>

#include <algorithm>

#if defined(__SANITIZE_THREAD__)
#include <atomic>
#include <thread>
#include <vector>
#endif

namespace tintype::cpu {

void set_thread_count(int threads) { omp_set_num_threads(threads); }
int thread_count() { return omp_get_max_threads(); }

namespace detail {

#if defined(__SANITIZE_THREAD__)
// The OpenMP runtime is not built for the thread sanitizer, which then sees races in its barriers;
// plain threads with the same task cutting let it check our kernels instead.
void run_tasks(int64_t tasks, void (*body)(void*, int64_t, int), void* context) {
  std::atomic<int64_t> next{0};
  const auto work = [&](int thread) {
    for (int64_t task; (task = next.fetch_add(1)) < tasks;) body(context, task, thread);
  };
  std::vector<std::thread> team;
  const int size = static_cast<int>(std::min<int64_t>(thread_count(), tasks));
  for (int thread = 1; thread < size; ++thread) team.emplace_back(work, thread);
  work(0);
  for (std::thread& member : team) member.join();
}
#else
void run_tasks(int64_t tasks, void (*body)(void*, int64_t, int), void* context) {
  if (tasks == 1 || thread_count() == 1) {  // not worth waking anyone
    for (int64_t task = 0; task < tasks; ++task) body(context, task, 0);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t task = 0; task < tasks; ++task) body(context, task, omp_get_thread_num());
}
#endif

}  // namespace detail
}  // namespace tintype::cpu
