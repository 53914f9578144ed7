// Placing jobs on workers, and what workers tell of them.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "serving/runtime_impl.h"

namespace tintype {
namespace {

using Steady = std::chrono::steady_clock;

/// Of one job. Beyond it nothing more is saved, and a next attempt begins where it was full.
constexpr uint64_t kMaxSavedBytes = uint64_t{1} << 30;
constexpr size_t kMaxSavedCount = 65'000;
/// See JobRuntime::Impl::ending_jobs.
constexpr size_t kMaxEndingJobs = 2000;
constexpr uint64_t kMaxEndingBytes = uint64_t{256} << 20;

double seconds_since(SteadyTime time) {
  return std::chrono::duration<double>(Steady::now() - time).count();
}

}  // namespace

/// Begins what can begin. One thread at a time: who comes meanwhile makes that one look again.
void JobRuntime::Impl::dispatch() {
  {
    const std::lock_guard lock(mutex);
    dispatch_again = true;
    if (dispatching) return;
    dispatching = true;
  }
  for (;;) {
    std::optional<Start> start;
    {
      const std::lock_guard lock(mutex);
      dispatch_again = false;
      start = next_start();
      if (!start) {
        dispatching = false;
        return;
      }
    }
    begin(std::move(*start));
  }
}

/// Takes the next job and a worker for it; the caller holds the mutex.
std::optional<JobRuntime::Impl::Start> JobRuntime::Impl::next_start() {
  const std::optional<JobId> id = queue.front();
  if (!id || draining || stopped || !store->healthy()) return {};
  if (ending_jobs > kMaxEndingJobs || ending_bytes > kMaxEndingBytes) return {};
  std::vector<WorkerLoad> loads;
  loads.reserve(slots.size());
  for (const WorkerSlot& slot : slots) {
    loads.push_back({slot.status.alive, std::max(slot.status.capacity, 1), slot.running,
                     slot.status.models, slot.last_model});
  }
  LiveJob& job = live.at(*id);
  JobRecord& record = job.record;
  const std::optional<size_t> worker = policy->choose(loads, record.model);
  if (!worker) return {};
  queue.pop_front();
  WorkerSlot& slot = slots[*worker];
  ++slot.running;
  slot.last_model = record.model;
  record.state = JobState::kRunning;
  record.worker = slot.status.name;
  const WallClock::time_point now = from_us(to_us(WallClock::now()));
  if (!record.started) {
    record.started = now;
    observe(wait_s, std::chrono::duration<double>(now - record.created).count());
  }
  if (record.attempts++ > 0) ++retries;
  job.worker = *worker;
  job.sent = false;
  job.run_began = job.stage_began = Steady::now();
  job.progress.stage.clear();
  job.progress.step = job.progress.steps = 0;
  job.progress.seconds_left.reset();
  change(job);
  store->mark_started(std::make_shared<JobRecord>(record));
  Start start{*id, record.seq, record.attempts, *worker, false, job.steps_saved > 0, {}};
  start.load_inputs = job.inputs.size() != record.inputs;
  start.assignment.id = *id;
  start.assignment.attempt = record.attempts;
  start.assignment.request = record.request;
  start.assignment.inputs = std::move(job.inputs);
  job.inputs.clear();
  held_bytes -= std::exchange(job.held_bytes, 0);
  return start;
}

void JobRuntime::Impl::begin(Start start) {
  if (!start.load_inputs && !start.load_steps) return send(std::move(start));
  const std::lock_guard lock(mutex);
  tasks.push_back([this, start = std::move(start)]() mutable {
    try {
      store->flush();  // steps of the last attempt may still be on their way
      if (start.load_inputs) start.assignment.inputs = store->inputs(start.seq);
      if (start.load_steps) start.assignment.saved_steps = store->saved_steps(start.seq);
    } catch (const Error& error) {
      return on_failure(start.worker, start.id, {error.kind(), error.what()});
    }
    send(std::move(start));
  });
  housekeeping.notify_one();
}

void JobRuntime::Impl::send(Start start) {
  workers[start.worker]->run(std::move(start.assignment));
  const std::lock_guard lock(mutex);
  LiveJob* job = running(start.id, start.worker);
  if (job == nullptr || job->record.attempts != start.attempt) return;
  job->sent = true;
  if (job->stop == StopReason::kNone) return;
  tasks.push_back([this, id = start.id, worker = start.worker] { workers[worker]->cancel(id); });
  housekeeping.notify_one();
}

WorkerEvents JobRuntime::Impl::events_of(size_t worker) {
  WorkerEvents events;
  events.on_progress = [this, worker](const JobId& id, const JobProgress& progress) {
    on_progress(worker, id, progress);
  };
  events.on_preview = [this, worker](const JobId& id, int step, std::vector<SharedBlob> previews) {
    on_preview(worker, id, step, std::move(previews));
  };
  events.on_step_saved = [this, worker](const JobId& id, SharedBlob bytes) {
    on_step_saved(worker, id, std::move(bytes));
  };
  events.on_success = [this, worker](const JobId& id, JobResult result) {
    on_success(worker, id, std::move(result));
  };
  events.on_failure = [this, worker](const JobId& id, JobError error) {
    on_failure(worker, id, std::move(error));
  };
  events.on_lost = [this, worker](const JobId& id, const std::string& reason) {
    on_lost(worker, id, reason);
  };
  events.on_change = [this, worker] { on_change(worker); };
  return events;
}

/// The job, if this worker runs it now; the caller holds the mutex.
LiveJob* JobRuntime::Impl::running(const JobId& id, size_t worker) {
  const auto found = live.find(id);
  if (stopped || found == live.end()) return nullptr;
  LiveJob& job = found->second;
  const bool runs = job.record.state == JobState::kRunning && !job.finishing;
  return runs && job.worker == worker ? &job : nullptr;
}

/// Frees the job's place at its worker.
void JobRuntime::Impl::release(LiveJob& job) {
  --slots[job.worker].running;
  idle.notify_all();
}

void JobRuntime::Impl::on_progress(size_t worker, const JobId& id, const JobProgress& progress) {
  const std::lock_guard lock(mutex);
  LiveJob* job = running(id, worker);
  if (job == nullptr) return;
  if (progress.stage != job->progress.stage) {
    stages.observe(job->progress.stage, seconds_since(job->stage_began));
    job->stage_began = Steady::now();
  }
  const double before = job->progress.fraction;
  job->progress = progress;
  const double fraction = std::isfinite(progress.fraction) ? progress.fraction : 0;
  job->progress.fraction = std::max(before, std::clamp(fraction, 0.0, 1.0));
  change(*job);
}

void JobRuntime::Impl::on_preview(size_t worker, const JobId& id, int step,
                                  std::vector<SharedBlob> previews) {
  const std::lock_guard lock(mutex);
  LiveJob* job = running(id, worker);
  if (job == nullptr) return;
  job->preview_step = step;
  job->previews = std::move(previews);
  change(*job);
}

void JobRuntime::Impl::on_step_saved(size_t worker, const JobId& id, SharedBlob bytes) {
  const std::lock_guard lock(mutex);
  LiveJob* job = running(id, worker);
  if (job == nullptr || !bytes) return;
  const uint64_t size = bytes->bytes.size();
  if (job->steps_saved >= kMaxSavedCount || job->steps_bytes + size > kMaxSavedBytes) {
    job->steps_bytes = kMaxSavedBytes;  // no gaps: nothing after the first that did not fit
    return;
  }
  job->steps_bytes += size;
  store->save_step(job->record.seq, job->steps_saved++, std::move(bytes));
}

void JobRuntime::Impl::observe_end(LiveJob& job) {
  const double seconds = seconds_since(job.run_began);
  observe(run_s, seconds);
  stages.observe(job.progress.stage, seconds_since(job.stage_began));
  ++slots[job.worker].done;
}

void JobRuntime::Impl::on_success(size_t worker, const JobId& id, JobResult result) {
  {
    const std::lock_guard lock(mutex);
    LiveJob* job = running(id, worker);
    if (job == nullptr) return;
    observe_end(*job);
    // A run that went on from saved steps says nothing of a whole one.
    if (job->record.attempts == 1) {
      pace.observe(job->record.model, job->record.work, seconds_since(job->run_began));
    }
    release(*job);
    switch (job->stop) {
      case StopReason::kCancel:
        finish(*job, JobState::kCancelled, {}, {});
        break;
      case StopReason::kDeadline:
        finish(*job, JobState::kExpired, {}, {});
        break;
      case StopReason::kNone:
      case StopReason::kDrain:
        finish(*job, JobState::kSucceeded, {}, std::move(result));
        break;
    }
  }
  dispatch();
}

void JobRuntime::Impl::on_failure(size_t worker, const JobId& id, JobError error) {
  {
    const std::lock_guard lock(mutex);
    LiveJob* job = running(id, worker);
    if (job == nullptr) return;
    observe_end(*job);
    release(*job);
    if (job->stop == StopReason::kCancel) {
      finish(*job, JobState::kCancelled, {}, {});
    } else if (job->stop == StopReason::kDeadline) {
      finish(*job, JobState::kExpired, {}, {});
    } else if (job->stop == StopReason::kDrain && error.kind == ErrorKind::kCancelled) {
      put_back(*job);
    } else {
      finish(*job, JobState::kFailed, std::move(error), {});
    }
  }
  dispatch();
}

void JobRuntime::Impl::on_lost(size_t worker, const JobId& id, const std::string& reason) {
  // The worker is not to get the job again before it lives again.
  {
    const std::lock_guard refresh(refresh_mutex);
    WorkerStatus status = workers[worker]->status();
    const std::lock_guard lock(mutex);
    slots[worker].status = std::move(status);
  }
  {
    const std::lock_guard lock(mutex);
    LiveJob* job = running(id, worker);
    if (job == nullptr) return;
    release(*job);
    if (job->stop == StopReason::kCancel) {
      finish(*job, JobState::kCancelled, {}, {});
    } else if (job->stop == StopReason::kDeadline) {
      finish(*job, JobState::kExpired, {}, {});
    } else if (job->stop == StopReason::kDrain) {
      put_back(*job);
    } else if (++job->record.losses >= options.max_attempts) {
      const bool memory = reason.find("out of memory") != std::string::npos;
      finish(*job, JobState::kFailed,
             JobError{memory ? ErrorKind::kOutOfMemory : ErrorKind::kInternal,
                      cat("[worker] ", job->record.losses,
                          " runs of this job ended with their worker's death; the last: ",
                          job->record.worker, " ", reason)},
             {});
    } else {
      put_back(*job);
    }
  }
  dispatch();
}

/// Back to the head of its owner's line, with the steps it made. The caller holds the mutex.
void JobRuntime::Impl::put_back(LiveJob& job) {
  JobRecord& record = job.record;
  record.state = JobState::kQueued;
  record.worker.clear();
  job.sent = false;
  job.stop = StopReason::kNone;
  queue.push_front({record.id, record.owner, record.priority, record.work});
  change(job);
  store->mark_queued(std::make_shared<JobRecord>(record));
}

void JobRuntime::Impl::on_change(size_t worker) {
  {
    const std::lock_guard refresh(refresh_mutex);
    WorkerStatus status = workers[worker]->status();
    const std::lock_guard lock(mutex);
    if (stopped) return;
    slots[worker].status = std::move(status);
  }
  dispatch();
}

}  // namespace tintype
