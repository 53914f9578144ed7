// The start and the end of all jobs, and what happens to them by the clock.
#include <algorithm>

#include "serving/runtime_impl.h"

namespace tintype {
namespace {

/// Revisions of a restarted job begin at the next multiple: what was told but not written before
/// stays below.
constexpr uint64_t kRevisionJump = uint64_t{1} << 20;
constexpr auto kTick = std::chrono::milliseconds(500);
/// How long a stopped job's worker may take to let go before it is killed.
constexpr auto kDrainGrace = std::chrono::seconds(10), kDestroyGrace = std::chrono::seconds(2);

}  // namespace

/// What was queued or running goes back into the queue: first what had begun.
void JobRuntime::Impl::recover() {
  std::vector<JobStore::Live> found = store->live();
  std::vector<JobId> begun;
  const std::lock_guard lock(mutex);
  for (JobStore::Live& row : found) {
    if (row.record.wish == JobRecord::Wish::kRemove) {
      store->remove({row.record.seq}, {});
      continue;
    }
    const JobId id = row.record.id;
    LiveJob& job = live[id];
    job.record = std::move(row.record);
    job.record.revision = (job.record.revision / kRevisionJump + 1) * kRevisionJump;
    job.accepted = true;
    job.steps_saved = row.saved_steps;
    job.steps_bytes = row.saved_bytes;
    JobRecord& record = job.record;
    if (!record.client_key.empty()) live_keys[live_key(record.owner, record.client_key)] = id;
    if (record.deadline) deadlines.emplace(*record.deadline, id);
    if (record.wish == JobRecord::Wish::kCancel) {
      finish(job, JobState::kCancelled, {}, {});
      continue;
    }
    if (record.state == JobState::kRunning) {
      begun.push_back(id);
    } else {
      queue.push_back({id, record.owner, record.priority, record.work});
    }
    record.state = JobState::kQueued;
    record.worker.clear();
  }
  for (auto id = begun.rbegin(); id != begun.rend(); ++id) {
    const JobRecord& record = live.at(*id).record;
    queue.push_front({*id, record.owner, record.priority, record.work});
  }
}

void JobRuntime::Impl::drain(std::chrono::milliseconds limit) {
  const auto nothing_runs = [this] {
    return std::all_of(slots.begin(), slots.end(),
                       [](const auto& slot) { return slot.running == 0; });
  };
  std::unique_lock lock(mutex);
  draining = true;
  if (!idle.wait_for(lock, limit, nothing_runs)) {
    for (auto& [id, job] : live) {
      if (job.record.state == JobState::kRunning && !job.finishing) {
        stop_running(job, StopReason::kDrain);
      }
    }
    const auto grace = limit.count() > 0 ? kDrainGrace : kDestroyGrace;
    idle.wait_for(lock, grace, nothing_runs);
  }
  const bool stuck = !nothing_runs();
  lock.unlock();
  if (stuck) {
    // Killed: what they have saved is in the store, and they go on from there.
    for (const auto& worker : workers) worker->stop();
  }
  store->flush();
}

/// Timers and everything slow, on a thread of its own.
void JobRuntime::Impl::housekeep() {
  std::unique_lock lock(mutex);
  while (!housekeeper_ends) {
    WallClock::time_point wake = WallClock::now() + kTick;
    if (!deadlines.empty()) wake = std::min(wake, deadlines.begin()->first);
    housekeeping.wait_until(lock, wake,
                            [&] { return housekeeper_ends || sweep_now || !tasks.empty(); });
    while (!tasks.empty()) {
      const std::function<void()> task = std::move(tasks.front());
      tasks.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
    if (housekeeper_ends) return;
    const WallClock::time_point now = WallClock::now();
    expire_deadlines(now);
    sweep_now = false;
    lock.unlock();
    try {
      retention->sweep(now);
    } catch (const Error&) {
      // A store that cannot be read now; the next tick tries again.
    }
    announce_positions();
    dispatch();
    lock.lock();
  }
}

void JobRuntime::Impl::expire_deadlines(WallClock::time_point now) {
  while (!deadlines.empty() && deadlines.begin()->first <= now) {
    const JobId id = deadlines.begin()->second;
    deadlines.erase(deadlines.begin());
    const auto found = live.find(id);
    if (found == live.end() || found->second.finishing) continue;
    LiveJob& job = found->second;
    if (job.record.state == JobState::kQueued) {
      queue.remove(id);
      finish(job, JobState::kExpired, {}, {});
    } else {
      stop_running(job, StopReason::kDeadline);
    }
  }
}

/// Tells those who wait for queued jobs where these stand, when that has changed.
void JobRuntime::Impl::announce_positions() {
  const std::vector<JobId> watched = subscriptions->watched();
  if (watched.empty()) return;
  const std::lock_guard lock(mutex);
  for (const JobId& id : watched) {
    const auto found = live.find(id);
    if (found == live.end() || found->second.record.state != JobState::kQueued) continue;
    LiveJob& job = found->second;
    if (job.finishing || !job.snapshot) continue;
    const int before = job.snapshot->position;
    update_positions();
    const auto standing = standings.find(id);
    if (standing != standings.end() && standing->second.position != before) change(job);
  }
}

}  // namespace tintype
