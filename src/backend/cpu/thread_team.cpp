#include "backend/cpu/thread_team.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace tintype::cpu {
namespace {

// Looks for new work this often before sleeping, giving way each time. Ops of one step follow each
// other within microseconds, and a sleeper takes tens to wake; but a loop that does not give way
// takes the core from whoever else needs it (an OpenMP team, tried first, slowed tenfold on a busy
// machine that way).
constexpr int kLooksBeforeSleep = 100;

/// Waits until `done(state)`, then returns the state it held for.
template <typename Done>
uint64_t wait_until(const std::atomic<uint64_t>& state, const Done& done) {
  for (int look = 0;; ++look) {
    const uint64_t now = state.load(std::memory_order_acquire);
    if (done(now)) return now;
    if (look < kLooksBeforeSleep)
      std::this_thread::yield();
    else
      state.wait(now, std::memory_order_acquire);
  }
}

/// The process's workers: cores belong to the process, so does the team. One job runs at a time;
/// its caller works too. Guarded by `caller_` (one caller) and by the state word (workers).
class Team {
 public:
  ~Team() {
    stop_.store(true, std::memory_order_relaxed);
    state_.fetch_add(kGeneration, std::memory_order_release);
    state_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  /// False when another caller has the team.
  bool try_run(int members, int64_t tasks, void (*body)(void*, int64_t, int), void* context) {
    const std::unique_lock lock(caller_, std::try_to_lock);
    if (!lock) return false;
    while (static_cast<int>(workers_.size()) < members - 1)
      workers_.emplace_back([this, id = static_cast<int>(workers_.size()) + 1] { serve(id); });
    body_ = body;
    context_ = context;
    tasks_ = tasks;
    members_ = members;
    next_.store(0, std::memory_order_relaxed);
    const uint64_t generation = state_.load(std::memory_order_relaxed) & ~(kGeneration - 1);
    state_.store((generation + kGeneration) | kOpen, std::memory_order_release);
    state_.notify_all();
    work(0);
    // Whoever has not joined by now is not needed; whoever has must leave before the job goes away.
    state_.fetch_and(~kOpen, std::memory_order_acq_rel);
    wait_until(state_, [](uint64_t now) { return (now & kActive) == 0; });
    return true;
  }

 private:
  // The state word: which job, whether it may be joined, how many workers are in it.
  static constexpr uint64_t kActive = (uint64_t{1} << 31) - 1;
  static constexpr uint64_t kOpen = uint64_t{1} << 31;
  static constexpr uint64_t kGeneration = uint64_t{1} << 32;

  void work(int thread) {
    for (int64_t task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;)
      body_(context_, task, thread);
  }

  void serve(int id) {
    uint64_t seen = 0;
    while (true) {
      uint64_t now = wait_until(state_, [&](uint64_t word) {
        return stop_.load(std::memory_order_relaxed) ||
               ((word & kOpen) && word / kGeneration != seen);
      });
      if (stop_.load(std::memory_order_relaxed)) return;
      if (!state_.compare_exchange_strong(now, now + 1, std::memory_order_acq_rel)) continue;
      seen = now / kGeneration;
      if (id < members_) work(id);
      if ((state_.fetch_sub(1, std::memory_order_acq_rel) & (kOpen | kActive)) == 1)
        state_.notify_all();
    }
  }

  std::mutex caller_;
  std::atomic<uint64_t> state_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> next_{0};
  void (*body_)(void*, int64_t, int) = nullptr;
  void* context_ = nullptr;
  int64_t tasks_ = 0;
  int members_ = 0;
  std::vector<std::thread> workers_;
};

Team& team() {
  static Team instance;
  return instance;
}

thread_local int threads_of_this_thread = 0;

}  // namespace

void set_thread_count(int threads) { threads_of_this_thread = std::max(threads, 1); }

int thread_count() {
  if (threads_of_this_thread == 0)
    threads_of_this_thread = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return threads_of_this_thread;
}

namespace detail {

void run_tasks(int64_t tasks, void (*body)(void*, int64_t, int), void* context) {
  const int members = static_cast<int>(std::min<int64_t>(thread_count(), tasks));
  if (members > 1 && team().try_run(members, tasks, body, context)) return;
  for (int64_t task = 0; task < tasks; ++task) body(context, task, 0);
}

}  // namespace detail
}  // namespace tintype::cpu
