/// The one job runtime under every dialect: accepts, queues, hands to workers, tells, keeps.
/// Nothing that was accepted is lost: the answer to submit comes after the job is on disk, and a
/// restarted server goes on where the last one was cut off.
/// Thread-safe. Callbacks run on the runtime's own threads and must not block.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "serving/job.h"
#include "serving/worker.h"

namespace tintype {

struct RuntimeOptions {
  std::filesystem::path store;  ///< SQLite file; made where it is missing
  size_t max_queued = 1000;     ///< further submissions get kQueueFull
  size_t max_queued_per_owner = 200;
  int max_attempts = 3;  ///< runs of one job before a dying worker fails it
  std::chrono::seconds results_ttl{24 * 3600};
  uint64_t results_budget_bytes = uint64_t{4} << 30;  ///< the oldest go first
  size_t max_finished = 100'000;          ///< jobs remembered, without results in the end
  std::string policy = "model_affinity";  ///< see placement_policies()
};

struct Submission {
  SharedSnapshot job;
  bool created = false;  ///< false: the client key named a job that was there already
};

struct JobFilter {
  std::optional<std::string> owner;  ///< unset: everyone's
  std::vector<JobState> states;      ///< empty: all
  std::optional<JobId> before;       ///< only older ones, for paging
  size_t limit = 50;                 ///< at most 1000; newest first
};

/// Upper bounds of buckets in seconds and how many fell at or below each, as Prometheus counts.
struct Histogram {
  std::vector<double> bounds;
  std::vector<uint64_t> counts;  ///< one more than bounds: the last has no bound
  double sum = 0;
  uint64_t count = 0;
};

struct RuntimeStats {
  size_t queued = 0, running = 0, max_queued = 0;
  uint64_t submitted = 0, rejected = 0;
  std::vector<std::pair<JobState, uint64_t>> finished;  ///< since the start, by final state
  uint64_t retries = 0;                                 ///< runs begun again
  Histogram wait_s, run_s;
  std::vector<std::pair<std::string, Histogram>> stage_s;
  uint64_t result_bytes = 0;  ///< on disk
  std::vector<WorkerStatus> workers;
};

/// Ends a subscription when destroyed; its callback does not run after that. Movable.
class Subscription {
 public:
  Subscription() = default;
  explicit Subscription(std::function<void()> end) : end_(std::move(end)) {}
  Subscription(Subscription&& other) noexcept : end_(std::exchange(other.end_, {})) {}
  Subscription& operator=(Subscription&& other) noexcept {
    if (this != &other) {
      if (end_) end_();
      end_ = std::exchange(other.end_, {});
    }
    return *this;
  }
  ~Subscription() {
    if (end_) end_();
  }

 private:
  std::function<void()> end_;
};

class JobRuntime {
 public:
  /// Opens the store, puts what was queued or running back into the queue, starts dispatching.
  /// throws kIo, kCorruptFile: the store; kInvalidArgument: options
  JobRuntime(const RuntimeOptions& options, std::vector<std::unique_ptr<Worker>> workers);
  ~JobRuntime();  ///< as drain with no time left

  using SubmitCallback = std::function<void(std::variant<Submission, Error>)>;
  /// Calls back once the job is on disk (or at once with an error, on the caller's thread):
  /// kQueueFull; kInvalidArgument: the client key was used for another request; kUnsupported: the
  /// runtime is draining.
  void submit(JobSpec spec, SubmitCallback done);
  /// Waits for it. throws as the callback gets
  Submission submit(JobSpec spec);

  SharedSnapshot find(const JobId& id) const;  ///< null: unknown, or deleted
  std::vector<SharedSnapshot> list(const JobFilter& filter) const;

  /// Queued jobs end at once, running ones within a step. Final ones stay as they are. Returns when
  /// the wish is on disk (one fsync): a restarted server keeps to it. False: no such job.
  bool cancel(const JobId& id);
  /// Forgets a final job and its results, on disk when it returns; a running one is cancelled, is
  /// not found any more and goes when its worker has let go. False: no such job.
  bool remove(const JobId& id);

  SharedBlob result(const JobId& id, size_t index) const;  ///< null: none, or expired
  SharedBlob input(const JobId& id, size_t index) const;

  /// `changed` gets the job's present snapshot (soon, if it is there) and every later one; when
  /// changes come faster than they are taken, only the latest counts.
  Subscription subscribe(const JobId& id, std::function<void(SharedSnapshot)> changed);
  /// The same for all jobs.
  Subscription subscribe_all(std::function<void(SharedSnapshot)> changed);

  RuntimeStats stats() const;
  bool ready() const;  ///< accepts jobs and has a worker that lives

  /// No job is accepted or begun any more; running ones may finish until `limit`, then they are
  /// stopped and stay in the store with the steps they made. Returns when no job runs.
  void drain(std::chrono::milliseconds limit);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// "least_busy", "round_robin", "random", "model_affinity".
std::vector<std::string> placement_policies();

}  // namespace tintype
