#include "serving/job_runtime.h"

#include <algorithm>
#include <cmath>
#include <future>

#include "base/check.h"
#include "serving/runtime_impl.h"

namespace tintype {
namespace {

constexpr size_t kMaxInputs = 64, kMaxClientKey = 200;
constexpr int kMaxPriority = 10;
/// Inputs of queued jobs that are kept in memory; the others' are read again when they begin.
constexpr uint64_t kMaxHeldBytes = uint64_t{64} << 20;
/// Revisions of a restarted job begin at the next multiple: what was told but not written before
/// stays below.
constexpr uint64_t kRevisionJump = uint64_t{1} << 20;
constexpr auto kTick = std::chrono::milliseconds(500);
/// How long a stopped job's worker may take to let go before it is killed.
constexpr auto kDrainGrace = std::chrono::seconds(10), kDestroyGrace = std::chrono::seconds(2);

std::string key_of(const std::string& owner, const std::string& client_key) {
  return owner + '\0' + client_key;
}

void check_spec(const JobSpec& spec) {
  constexpr std::string_view kWhere = "submit";
  TT_REQUIRE(std::abs(spec.priority) <= kMaxPriority, kWhere, "priority must be -10..10, got ",
             spec.priority);
  TT_REQUIRE(std::isfinite(spec.work) && spec.work > 0, kWhere, "work must be > 0, got ",
             spec.work);
  TT_REQUIRE(spec.inputs.size() <= kMaxInputs, kWhere, "inputs must be at most ", kMaxInputs,
             ", got ", spec.inputs.size());
  TT_REQUIRE(spec.client_key.size() <= kMaxClientKey, kWhere, "client_key must have at most ",
             kMaxClientKey, " bytes, got ", spec.client_key.size());
  for (const SharedBlob& input : spec.inputs) TT_REQUIRE(input, kWhere, "inputs must be there");
}

void check_options(const RuntimeOptions& options, size_t workers) {
  constexpr std::string_view kWhere = "job runtime";
  TT_REQUIRE(workers > 0, kWhere, "needs at least one worker");
  TT_REQUIRE(options.max_queued > 0, kWhere, "max_queued must be > 0");
  TT_REQUIRE(options.max_queued_per_owner > 0, kWhere, "max_queued_per_owner must be > 0");
  TT_REQUIRE(options.max_attempts > 0, kWhere, "max_attempts must be > 0, got ",
             options.max_attempts);
  TT_REQUIRE(options.results_ttl.count() > 0, kWhere, "results_ttl must be > 0");
}

Error same_key_error(const std::string& client_key) {
  return {ErrorKind::kInvalidArgument, "client_key",
          "must be new for a new request, got \"" + client_key +
              "\", which named another request before"};
}

/// Something that calls back once, waited for.
class Answer {
 public:
  JobStore::Done done() {
    return [promise = promise_](const Error*) { promise->set_value(); };
  }
  /// A failing disk may never answer; the wish then holds in memory alone.
  void wait() { promise_->get_future().wait_for(std::chrono::seconds(20)); }

 private:
  std::shared_ptr<std::promise<void>> promise_ = std::make_shared<std::promise<void>>();
};

}  // namespace

JobRuntime::Impl::Impl(const RuntimeOptions& given,
                       std::vector<std::unique_ptr<Worker>> given_workers)
    : options(given), workers(std::move(given_workers)) {
  check_options(options, workers.size());
  policy = make_placement_policy(options.policy);
  store = std::make_unique<JobStore>(options.store);
  retention = std::make_unique<Retention>(
      *store,
      Retention::Limits{options.results_ttl, options.results_budget_bytes, options.max_finished},
      [this](const JobId& id) {
        const std::lock_guard lock(mutex);
        ++forgotten;
        const auto found = recent_by_id.find(id);
        if (found == recent_by_id.end()) return;
        recent.erase(found->second);
        recent_by_id.erase(found);
      });
  next_seq = store->first_free_seq();
  slots.resize(workers.size());
  subscriptions = std::make_unique<Subscriptions>([this](const JobId& id) { return find(id); });
  try {
    recover();
  } catch (...) {
    store.reset();  // its last answers need what is destroyed before it
    throw;
  }
  housekeeper = std::thread([this] { housekeep(); });
  for (size_t i = 0; i < workers.size(); ++i) workers[i]->start(events_of(i));
  for (size_t i = 0; i < workers.size(); ++i) on_change(i);
}

JobRuntime::Impl::~Impl() {
  {
    const std::lock_guard lock(mutex);
    draining = true;
    stopped = true;
  }
  for (const auto& worker : workers) worker->stop();
  {
    const std::lock_guard lock(mutex);
    housekeeper_ends = true;
  }
  housekeeping.notify_one();
  housekeeper.join();
  subscriptions->stop();
  store.reset();
}

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
    if (!record.client_key.empty()) live_keys[key_of(record.owner, record.client_key)] = id;
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

/// True: the key named a job before, and `done` has its answer or will get it.
bool JobRuntime::Impl::answer_known_key(const JobSpec& spec, uint64_t fingerprint,
                                        SubmitCallback& done) {
  {
    std::unique_lock lock(mutex);
    const auto known = live_keys.find(key_of(spec.owner, spec.client_key));
    if (known != live_keys.end()) {
      LiveJob& job = live.at(known->second);
      if (job.record.fingerprint != fingerprint) {
        lock.unlock();
        done(same_key_error(spec.client_key));
      } else if (!job.accepted) {
        job.waiting.push_back(std::move(done));
      } else {
        const SharedSnapshot present = snapshot(job);
        lock.unlock();
        done(Submission{present, false});
      }
      return true;
    }
  }
  const std::optional<JobRecord> record = store->find_key(spec.owner, spec.client_key);
  if (!record || !is_final(record->state)) return false;
  if (record->fingerprint != fingerprint) {
    done(same_key_error(spec.client_key));
  } else {
    done(Submission{std::make_shared<JobSnapshot>(snapshot_of(*record)), false});
  }
  return true;
}

void JobRuntime::Impl::submit(JobSpec spec, SubmitCallback done) {
  check_spec(spec);
  const uint64_t fingerprint = fingerprint_of(spec);
  if (!spec.client_key.empty() && answer_known_key(spec, fingerprint, done)) return;
  const auto refuse = [&](ErrorKind kind, const std::string& what) {
    ++rejected;
    throw Error(kind, "submit", what);
  };
  auto record = std::make_shared<JobRecord>();
  std::vector<SharedBlob> inputs = std::move(spec.inputs);
  {
    std::unique_lock lock(mutex);
    if (draining) refuse(ErrorKind::kUnsupported, "the server is shutting down and takes no jobs");
    if (!store->healthy()) refuse(ErrorKind::kIo, "the job store cannot be written now");
    if (queue.size() >= options.max_queued) {
      refuse(ErrorKind::kQueueFull,
             cat("at most ", options.max_queued, " jobs may wait, and as many do"));
    }
    if (queue.size_of_owner(spec.owner) >= options.max_queued_per_owner) {
      refuse(ErrorKind::kQueueFull, cat("at most ", options.max_queued_per_owner,
                                        " jobs of one owner may wait, and as many do"));
    }
    // Another submission with this key may have come in the meantime.
    const std::string key = key_of(spec.owner, spec.client_key);
    if (!spec.client_key.empty() && live_keys.count(key)) {
      lock.unlock();
      answer_known_key(spec, fingerprint, done);
      return;
    }
    const JobId id = JobId::make();
    record->seq = next_seq++;
    record->id = id;
    record->revision = 1;
    record->request = std::move(spec.request);
    record->model = std::move(spec.model);
    record->owner = spec.owner;
    record->client_key = spec.client_key;
    record->fingerprint = fingerprint;
    record->priority = spec.priority;
    record->work = spec.work;
    record->inputs = inputs.size();
    record->created = from_us(to_us(WallClock::now()));
    if (spec.deadline) record->deadline = from_us(to_us(*spec.deadline));
    for (const SharedBlob& input : inputs) record->stored_bytes += input->bytes.size();
    LiveJob& job = live[id];
    job.record = *record;
    job.inputs = inputs;
    job.held_bytes = record->stored_bytes;
    held_bytes += job.held_bytes;
    if (!spec.client_key.empty()) live_keys[key] = id;
    if (record->deadline) {
      deadlines.emplace(*record->deadline, id);
      if (deadlines.begin()->second == id) housekeeping.notify_one();
    }
    queue.push_back({id, record->owner, record->priority, record->work});
    ++submitted;
    JobSpec key_only;
    key_only.owner = record->owner;
    key_only.client_key = record->client_key;
    // It is begun at once: should writing fail, it is stopped again, and nobody was told of it.
    store->insert(
        record, std::move(inputs),
        [this, id, key_only = std::move(key_only), fingerprint, done = std::move(done)](
            const Error* error) mutable { inserted(id, key_only, fingerprint, done, error); });
  }
  dispatch();
}

/// On the writer's thread: the job is on disk, or could not be put there.
void JobRuntime::Impl::inserted(const JobId& id, const JobSpec& spec, uint64_t fingerprint,
                                SubmitCallback& done, const Error* error) {
  std::vector<SubmitCallback> waiting;
  SharedSnapshot present;
  {
    const std::lock_guard lock(mutex);
    const auto found = live.find(id);
    if (found == live.end()) return;
    LiveJob& job = found->second;
    waiting = std::move(job.waiting);
    if (error == nullptr) {
      job.accepted = true;
      if (held_bytes > kMaxHeldBytes) {
        held_bytes -= std::exchange(job.held_bytes, 0);
        job.inputs.clear();
      }
      present = snapshot(job);
    } else if (job.record.state == JobState::kRunning) {
      stop_running(job, StopReason::kCancel);
      job.removed = true;
    } else {
      queue.remove(id);
      forget(found);
    }
  }
  if (error == nullptr) {
    subscriptions->changed(id);
    done(Submission{present, true});
    for (const SubmitCallback& other : waiting) other(Submission{present, false});
    return;
  }
  // The same key may have been written in the blink between the look for it and this.
  const bool key_taken = error->kind() == ErrorKind::kInvalidArgument && !spec.client_key.empty();
  if (key_taken && answer_known_key(spec, fingerprint, done)) return;
  done(*error);
  for (const SubmitCallback& other : waiting) other(*error);
}

void JobRuntime::Impl::change(LiveJob& job) {
  ++job.record.revision;
  job.snapshot.reset();
  if (job.accepted && !job.removed) subscriptions->changed(job.record.id);
}

/// The caller holds the mutex.
void JobRuntime::Impl::forget(std::map<JobId, LiveJob>::iterator found) {
  const JobRecord& record = found->second.record;
  held_bytes -= found->second.held_bytes;
  if (record.deadline) deadlines.erase({*record.deadline, record.id});
  if (!record.client_key.empty()) {
    const auto key = live_keys.find(key_of(record.owner, record.client_key));
    if (key != live_keys.end() && key->second == record.id) live_keys.erase(key);
  }
  live.erase(found);
}

/// The end of a job goes to disk with all that came of it; it is told when it is there. The caller
/// holds the mutex and has taken the job out of queue and slot.
void JobRuntime::Impl::finish(LiveJob& job, JobState state, std::optional<JobError> error,
                              JobResult result) {
  job.finishing = true;
  job.inputs.clear();
  auto record = std::make_shared<JobRecord>(job.record);
  record->state = state;
  ++record->revision;
  record->finished = from_us(to_us(WallClock::now()));
  record->error = std::move(error);
  record->info = std::move(result.info);
  std::vector<SharedBlob> blobs;
  for (auto& [info, blob] : result.files) {
    record->stored_bytes += blob->bytes.size();
    info.bytes = blob->bytes.size();
    record->results.push_back(info);
    blobs.push_back(std::move(blob));
  }
  if (record->stored_bytes > 0) record->results_expire = *record->finished + options.results_ttl;
  ++ending_jobs;
  ending_bytes += record->stored_bytes;
  const bool remove_too = job.removed;
  store->finish(record, std::move(blobs),
                [this, record](const Error* problem) { finished(record, problem); });
  if (remove_too) store->remove({record->seq}, {});
}

/// On the writer's thread: the end is on disk, or cannot be put there.
void JobRuntime::Impl::finished(SharedRecord record, const Error* error) {
  std::vector<std::function<void()>> on_end;
  SharedSnapshot last;
  bool may_begin = false;
  {
    const std::lock_guard lock(mutex);
    const auto found = live.find(record->id);
    if (found == live.end()) return;
    LiveJob& job = found->second;
    --ending_jobs;
    ending_bytes -= record->stored_bytes;
    may_begin = !queue.empty();
    if (error != nullptr && record->state == JobState::kSucceeded) {
      // What came of it does not fit into the store; that, at least, may.
      job.record.revision = record->revision;
      finish(job, JobState::kFailed, JobError{error->kind(), error->what()}, {});
      return;
    }
    auto present = std::make_shared<JobSnapshot>(snapshot_of(*record));
    if (record->state != JobState::kSucceeded) present->progress = job.progress;
    last = present;
    ++ended[record->state];
    on_end = std::move(job.on_end);
    const bool removed = job.removed;
    forget(found);
    if (!removed) {
      remember(last);
      retention->added(record->stored_bytes);
      if (retention->over_budget()) {
        sweep_now = true;
        housekeeping.notify_one();
      }
    }
    idle.notify_all();
  }
  subscriptions->changed(record->id, last);
  for (const auto& call : on_end) call();
  if (may_begin) dispatch();
}

/// The caller holds the mutex; the worker hears of it from the housekeeper.
void JobRuntime::Impl::stop_running(LiveJob& job, StopReason reason) {
  const bool told = job.stop != StopReason::kNone;
  job.stop = std::max(job.stop, reason);
  if (told || !job.sent) return;  // begin() looks again after sending
  tasks.push_back([this, id = job.record.id, worker = job.worker] { workers[worker]->cancel(id); });
  housekeeping.notify_one();
}

bool JobRuntime::Impl::cancel(const JobId& id) {
  Answer written;
  {
    const std::lock_guard lock(mutex);
    const auto found = live.find(id);
    if (found != live.end() && found->second.accepted && !found->second.removed) {
      LiveJob& job = found->second;
      if (job.finishing) {
        job.on_end.push_back([done = written.done()] { done(nullptr); });
      } else if (job.record.state == JobState::kQueued) {
        queue.remove(id);
        job.on_end.push_back([done = written.done()] { done(nullptr); });
        finish(job, JobState::kCancelled, {}, {});
      } else {
        job.record.wish = JobRecord::Wish::kCancel;
        store->set_wish(job.record.seq, job.record.wish, written.done());
        stop_running(job, StopReason::kCancel);
      }
    } else if (found != live.end()) {
      return false;
    } else {
      written.done()(nullptr);
    }
  }
  // From a callback on the writer's thread nothing can be waited for.
  if (!store->on_writer_thread()) written.wait();
  return find(id) != nullptr;
}

bool JobRuntime::Impl::remove(const JobId& id) {
  Answer written;
  SharedSnapshot last;
  const std::optional<JobRecord> stored = find_record(id);
  {
    const std::lock_guard lock(mutex);
    const auto found = live.find(id);
    ++forgotten;
    if (found != live.end()) {
      LiveJob& job = found->second;
      if (!job.accepted || job.removed) return false;
      job.removed = true;
      auto gone = std::make_shared<JobSnapshot>(*snapshot(job));
      gone->state = JobState::kCancelled;
      gone->revision = ++job.record.revision;
      gone->finished = WallClock::now();
      last = gone;
      if (job.finishing) {
        store->remove({job.record.seq}, written.done());
      } else if (job.record.state == JobState::kQueued) {
        queue.remove(id);
        store->remove({job.record.seq}, written.done());
        ++ended[JobState::kCancelled];
        forget(found);
      } else {
        job.record.wish = JobRecord::Wish::kRemove;
        store->set_wish(job.record.seq, job.record.wish, written.done());
        stop_running(job, StopReason::kCancel);
      }
    } else {
      const auto known = recent_by_id.find(id);
      if (known != recent_by_id.end()) {
        recent.erase(known->second);
        recent_by_id.erase(known);
      }
      if (!stored || !is_final(stored->state)) return false;
      store->remove({stored->seq}, written.done());
      retention->removed(stored->stored_bytes);
    }
  }
  if (last) subscriptions->changed(id, last);
  if (!store->on_writer_thread()) written.wait();
  return true;
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

JobRuntime::JobRuntime(const RuntimeOptions& options, std::vector<std::unique_ptr<Worker>> workers)
    : impl_(std::make_unique<Impl>(options, std::move(workers))) {}

JobRuntime::~JobRuntime() { impl_->drain(std::chrono::milliseconds(0)); }

void JobRuntime::submit(JobSpec spec, SubmitCallback done) {
  try {
    impl_->submit(std::move(spec), done);
  } catch (const Error& error) {
    done(error);
  }
}

Submission JobRuntime::submit(JobSpec spec) {
  auto promise = std::make_shared<std::promise<std::variant<Submission, Error>>>();
  submit(std::move(spec), [promise](std::variant<Submission, Error> answer) {
    promise->set_value(std::move(answer));
  });
  std::variant<Submission, Error> answer = promise->get_future().get();
  if (const auto* error = std::get_if<Error>(&answer)) throw *error;
  return std::get<Submission>(answer);
}

SharedSnapshot JobRuntime::find(const JobId& id) const { return impl_->find(id); }

std::vector<SharedSnapshot> JobRuntime::list(const JobFilter& filter) const {
  return impl_->list(filter);
}

bool JobRuntime::cancel(const JobId& id) { return impl_->cancel(id); }
bool JobRuntime::remove(const JobId& id) { return impl_->remove(id); }

SharedBlob JobRuntime::result(const JobId& id, size_t index) const {
  const std::optional<JobRecord> record = impl_->find_record(id);
  return record ? impl_->store->result(record->seq, index) : nullptr;
}

SharedBlob JobRuntime::input(const JobId& id, size_t index) const {
  const std::optional<JobRecord> record = impl_->find_record(id);
  return record ? impl_->store->input(record->seq, index) : nullptr;
}

Subscription JobRuntime::subscribe(const JobId& id, std::function<void(SharedSnapshot)> changed) {
  return impl_->subscriptions->add(id, std::move(changed));
}

Subscription JobRuntime::subscribe_all(std::function<void(SharedSnapshot)> changed) {
  return impl_->subscriptions->add_all(std::move(changed));
}

RuntimeStats JobRuntime::stats() const { return impl_->stats(); }

bool JobRuntime::ready() const {
  const std::lock_guard lock(impl_->mutex);
  const auto& slots = impl_->slots;
  return !impl_->draining && impl_->store->healthy() &&
         std::any_of(slots.begin(), slots.end(),
                     [](const auto& slot) { return slot.status.alive; });
}

void JobRuntime::drain(std::chrono::milliseconds limit) { impl_->drain(limit); }

}  // namespace tintype
