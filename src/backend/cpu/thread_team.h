/// The one team of compute threads. Work is cut into tasks by shape alone, never by thread count,
/// so results are the same bits whatever the team's size; the team only decides who runs a task.
/// Thread-safety: parallel_for may be called from several threads. One caller at a time has the
/// team; the others work alone meanwhile, so that requests share the cores without oversubscribing
/// them.
#pragma once

#include <cstdint>
#include <type_traits>

namespace tintype::cpu {

/// Threads (the caller among them) that a parallel_for called from this thread may use; one per
/// core until set.
void set_thread_count(int threads);
int thread_count();

namespace detail {
void run_tasks(int64_t tasks, void (*body)(void* context, int64_t task, int thread), void* context);
}

/// Calls body(task, thread) for each task in 0..tasks-1, in no particular order; thread <
/// thread_count(). The body must not throw.
template <typename Body>
void parallel_for(int64_t tasks, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  detail::run_tasks(
      tasks,
      [](void* context, int64_t task, int thread) {
        (*static_cast<Plain*>(context))(task, thread);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace tintype::cpu
