/// The inside of JobRuntime, shared by its .cpp files: the live jobs and who runs them. Everything
/// below `mutex` is guarded by it; it is never held while a worker, the store's reads or a caller's
/// callback run. Done callbacks of the store take it on the writer's thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include "serving/job_queue.h"
#include "serving/job_runtime.h"
#include "serving/job_store.h"
#include "serving/placement.h"
#include "serving/retention.h"
#include "serving/statistics.h"
#include "serving/subscriptions.h"

namespace tintype {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Why a running job was told to stop; of several the greater counts.
enum class StopReason { kNone, kDrain, kDeadline, kCancel };

struct LiveJob {
  JobRecord record;
  JobProgress progress;
  int preview_step = 0;
  std::vector<SharedBlob> previews;
  bool accepted = false;   ///< on disk: others may see it
  bool finishing = false;  ///< its end is on the way to disk
  bool sent = false;       ///< the worker has it; before, a cancellation would not find it
  bool removed = false;    ///< forget it as soon as it ends
  StopReason stop = StopReason::kNone;
  size_t worker = 0;  ///< index, while running
  /// Kept from submission until the first run, while there are not too many; else read again.
  std::vector<SharedBlob> inputs;
  uint64_t held_bytes = 0;
  /// Ends on their way to disk: beyond a limit nothing begins, so that a slow disk slows the jobs
  /// down and does not fill the memory.
  size_t ending_jobs = 0;
  uint64_t ending_bytes = 0;
  size_t steps_saved = 0;
  uint64_t steps_bytes = 0;
  SteadyTime run_began, stage_began;
  std::vector<JobRuntime::SubmitCallback> waiting;  ///< for acceptance, beyond the first
  SharedSnapshot snapshot;  ///< of the present revision, made when asked for
  std::vector<std::function<void()>> on_end;
};

struct JobRuntime::Impl {
  Impl(const RuntimeOptions& given, std::vector<std::unique_ptr<Worker>> given_workers);
  ~Impl();

  // job_runtime.cpp: from submission to acceptance, wishes, the end of a job, the start of all.
  void recover();
  void submit(JobSpec spec, SubmitCallback done);
  bool answer_known_key(const JobSpec& spec, uint64_t fingerprint, SubmitCallback& done);
  void inserted(const JobId& id, const JobSpec& spec, uint64_t fingerprint, SubmitCallback& done,
                const Error* error);
  bool cancel(const JobId& id);
  bool remove(const JobId& id);
  void stop_running(LiveJob& job, StopReason reason);
  void finish(LiveJob& job, JobState state, std::optional<JobError> error, JobResult result);
  void finished(SharedRecord record, const Error* error);
  void drain(std::chrono::milliseconds limit);
  void change(LiveJob& job);
  void forget(std::map<JobId, LiveJob>::iterator job);
  void housekeep();
  void expire_deadlines(WallClock::time_point now);
  void announce_positions();

  // runtime_dispatch.cpp: placing jobs and what workers tell.
  struct Start {
    JobId id;
    int64_t seq;
    int attempt;
    size_t worker;
    bool load_inputs, load_steps;
    Assignment assignment;
  };
  void dispatch();
  std::optional<Start> next_start();
  void begin(Start start);
  void send(Start start);
  WorkerEvents events_of(size_t worker);
  LiveJob* running(const JobId& id, size_t worker);
  void release(LiveJob& job);
  void on_progress(size_t worker, const JobId& id, const JobProgress& progress);
  void on_preview(size_t worker, const JobId& id, int step, std::vector<SharedBlob> previews);
  void on_step_saved(size_t worker, const JobId& id, SharedBlob bytes);
  void on_success(size_t worker, const JobId& id, JobResult result);
  void on_failure(size_t worker, const JobId& id, JobError error);
  void on_lost(size_t worker, const JobId& id, const std::string& reason);
  void on_change(size_t worker);
  void put_back(LiveJob& job);
  void observe_end(LiveJob& job);

  // runtime_views.cpp: what callers see.
  SharedSnapshot snapshot(LiveJob& job);
  SharedSnapshot find(const JobId& id);
  std::optional<JobRecord> find_record(const JobId& id);
  std::vector<SharedSnapshot> list(const JobFilter& filter);
  RuntimeStats stats();
  void update_positions();
  void remember(SharedSnapshot snapshot);

  const RuntimeOptions options;
  std::unique_ptr<JobStore> store;
  std::unique_ptr<Retention> retention;
  std::unique_ptr<Subscriptions> subscriptions;
  std::vector<std::unique_ptr<Worker>> workers;
  std::mutex refresh_mutex;  ///< one look at workers' status at a time, so that the latest stays

  mutable std::mutex mutex;
  std::condition_variable idle;  ///< a job stopped running
  std::map<JobId, LiveJob> live;
  std::unordered_map<std::string, JobId> live_keys;  ///< owner, a zero byte, client key
  JobQueue queue;
  std::set<std::pair<WallClock::time_point, JobId>> deadlines;
  int64_t next_seq = 1;
  uint64_t held_bytes = 0;
  /// Ends on their way to disk: beyond a limit nothing begins, so that a slow disk slows the jobs
  /// down and does not fill the memory.
  size_t ending_jobs = 0;
  uint64_t ending_bytes = 0;
  bool draining = false;
  bool stopped = false;  ///< workers' events are ignored

  struct WorkerSlot {
    WorkerStatus status;
    std::string last_model;
    int running = 0;
    uint64_t done = 0;
  };
  std::vector<WorkerSlot> slots;
  std::unique_ptr<PlacementPolicy> policy;
  bool dispatching = false, dispatch_again = false;

  /// Where queued jobs stand, made anew when it is asked for and the order has changed.
  struct Standing {
    int position = 0;
    std::optional<double> seconds;
  };
  std::unordered_map<JobId, Standing> standings;
  size_t standings_version = 0;
  SteadyTime standings_made{};

  /// Final jobs seen lately, the most recent first.
  std::list<SharedSnapshot> recent;
  std::unordered_map<JobId, std::list<SharedSnapshot>::iterator> recent_by_id;
  uint64_t forgotten = 0;  ///< counts deletions: what was read before one may be outdated

  uint64_t submitted = 0, rejected = 0, retries = 0;
  std::map<JobState, uint64_t> ended;
  Histogram wait_s = make_duration_histogram(), run_s = make_duration_histogram();
  StageTimes stages;
  Pace pace;

  std::condition_variable housekeeping;
  std::deque<std::function<void()>> tasks;  ///< slow things for the housekeeper
  bool sweep_now = false, housekeeper_ends = false;
  std::thread housekeeper;
};

}  // namespace tintype
