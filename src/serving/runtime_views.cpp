// What callers see of jobs: snapshots, lists, positions, numbers.
#include <algorithm>
#include <queue>

#include "base/check.h"
#include "serving/runtime_impl.h"

namespace tintype {
namespace {

using Steady = std::chrono::steady_clock;

constexpr size_t kMaxListed = 1000;
constexpr size_t kMaxRecent = 512;
/// Positions in a longer queue are made anew this often at most.
constexpr size_t kShortQueue = 64;
constexpr auto kStandingsAge = std::chrono::milliseconds(50);

bool contains(const std::vector<JobState>& states, JobState state) {
  return states.empty() || std::find(states.begin(), states.end(), state) != states.end();
}

}  // namespace

/// The caller holds the mutex.
SharedSnapshot JobRuntime::Impl::snapshot(LiveJob& job) {
  if (job.snapshot && job.record.state != JobState::kQueued) return job.snapshot;
  Standing standing;
  if (job.record.state == JobState::kQueued) {
    update_positions();
    const auto found = standings.find(job.record.id);
    if (found != standings.end()) {
      standing = found->second;
    } else {
      // Came after the last look: at most behind all of its priority.
      const size_t before = queue.size_from_priority(job.record.priority);
      standing.position = static_cast<int>(before) - (before > 0 ? 1 : 0);
    }
    if (job.snapshot && job.snapshot->position == standing.position &&
        job.snapshot->seconds_to_start == standing.seconds) {
      return job.snapshot;
    }
  }
  auto out = std::make_shared<JobSnapshot>(snapshot_of(job.record));
  out->position = standing.position;
  out->seconds_to_start = standing.seconds;
  out->progress = job.progress;
  out->preview_step = job.preview_step;
  out->previews = job.previews;
  job.snapshot = out;
  return out;
}

/// Plays the queue forward on the places that there are. The caller holds the mutex.
void JobRuntime::Impl::update_positions() {
  const auto now = Steady::now();
  const bool made = standings_made != SteadyTime{};
  if (made && standings_version == queue.version() && now - standings_made < kStandingsAge) return;
  if (made && queue.size() > kShortQueue && now - standings_made < kStandingsAge) return;
  standings.clear();
  standings_version = queue.version();
  standings_made = now;
  // When each place falls free, seconds from now.
  std::priority_queue<double, std::vector<double>, std::greater<>> places;
  bool known = true;
  for (auto& [id, job] : live) {
    if (job.record.state != JobState::kRunning || job.finishing) continue;
    std::optional<double> left = job.progress.seconds_left;
    if (!left) {
      left = pace.seconds(job.record.model, job.record.work);
      const double run = std::chrono::duration<double>(now - job.run_began).count();
      if (left) left = std::max(*left - run, 0.0);
    }
    known = known && left;
    places.push(left.value_or(0));
  }
  for (const WorkerSlot& slot : slots) {
    if (!slot.status.alive) continue;
    for (int i = slot.running; i < slot.status.capacity; ++i) places.push(0);
  }
  int position = 0;
  for (const JobQueue::Entry& entry : queue.order()) {
    Standing& standing = standings[entry.id];
    standing.position = position++;
    if (!known || places.empty()) continue;
    standing.seconds = places.top();
    const std::optional<double> run = pace.seconds(live.at(entry.id).record.model, entry.work);
    known = run.has_value();
    if (!known) continue;
    places.pop();
    places.push(*standing.seconds + *run);
  }
}

SharedSnapshot JobRuntime::Impl::find(const JobId& id) {
  uint64_t deletions = 0;
  {
    const std::lock_guard lock(mutex);
    const auto found = live.find(id);
    if (found != live.end()) {
      LiveJob& job = found->second;
      return job.accepted && !job.removed ? snapshot(job) : nullptr;
    }
    const auto known = recent_by_id.find(id);
    if (known != recent_by_id.end()) {
      recent.splice(recent.begin(), recent, known->second);
      return *known->second;
    }
    deletions = forgotten;
  }
  const std::optional<JobRecord> record = store->find(id);
  if (!record || !is_final(record->state)) return nullptr;
  SharedSnapshot out = std::make_shared<JobSnapshot>(snapshot_of(*record));
  const std::lock_guard lock(mutex);
  if (deletions == forgotten) remember(out);
  return out;
}

std::optional<JobRecord> JobRuntime::Impl::find_record(const JobId& id) {
  {
    const std::lock_guard lock(mutex);
    const auto found = live.find(id);
    if (found != live.end()) {
      if (!found->second.accepted || found->second.removed) return {};
      return found->second.record;
    }
  }
  return store->find(id);
}

/// The caller holds the mutex.
void JobRuntime::Impl::remember(SharedSnapshot snapshot) {
  const auto known = recent_by_id.find(snapshot->id);
  if (known != recent_by_id.end()) recent.erase(known->second);
  const JobId id = snapshot->id;
  recent.push_front(std::move(snapshot));
  recent_by_id[id] = recent.begin();
  if (recent.size() <= kMaxRecent) return;
  recent_by_id.erase(recent.back()->id);
  recent.pop_back();
}

std::vector<SharedSnapshot> JobRuntime::Impl::list(const JobFilter& filter) {
  const size_t limit = std::min(filter.limit, kMaxListed);
  std::map<JobId, SharedSnapshot, std::greater<>> out;
  {
    const std::lock_guard lock(mutex);
    for (auto entry = live.rbegin(); entry != live.rend() && out.size() < limit; ++entry) {
      auto& [id, job] = *entry;
      const bool wanted = job.accepted && !job.removed && (!filter.before || id < *filter.before) &&
                          (!filter.owner || job.record.owner == *filter.owner) &&
                          contains(filter.states, job.record.state);
      if (wanted) out[id] = snapshot(job);
    }
  }
  const bool finals =
      filter.states.empty() || std::any_of(filter.states.begin(), filter.states.end(), is_final);
  if (finals && limit > 0) {
    const JobStore::Page page{filter.owner, filter.states, filter.before, limit};
    for (const JobRecord& record : store->list_final(page)) {
      // One that ended since the look above is taken as it is now.
      out[record.id] = std::make_shared<JobSnapshot>(snapshot_of(record));
    }
  }
  std::vector<SharedSnapshot> list;
  for (auto entry = out.begin(); entry != out.end() && list.size() < limit; ++entry) {
    list.push_back(entry->second);
  }
  return list;
}

RuntimeStats JobRuntime::Impl::stats() {
  for (size_t i = 0; i < workers.size(); ++i) {
    const std::lock_guard refresh(refresh_mutex);
    WorkerStatus status = workers[i]->status();
    const std::lock_guard lock(mutex);
    slots[i].status = std::move(status);
  }
  const std::lock_guard lock(mutex);
  RuntimeStats out;
  out.queued = queue.size();
  out.max_queued = options.max_queued;
  out.submitted = submitted;
  out.rejected = rejected;
  out.finished.assign(ended.begin(), ended.end());
  out.retries = retries;
  out.wait_s = wait_s;
  out.run_s = run_s;
  out.stage_s.assign(stages.by_name().begin(), stages.by_name().end());
  out.result_bytes = retention->stored_bytes();
  for (const WorkerSlot& slot : slots) {
    out.running += static_cast<size_t>(slot.running);
    WorkerStatus status = slot.status;
    status.running = slot.running;
    status.jobs_done = slot.done;
    out.workers.push_back(std::move(status));
  }
  return out;
}

}  // namespace tintype
