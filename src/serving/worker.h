/// What runs jobs, seen from the runtime: one of them may be a process on a device of its own
/// (serving/worker_process.h), or a function in a test. A worker takes up to capacity() jobs at
/// once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "serving/job.h"

namespace tintype {

/// A job on its way to a worker.
struct Assignment {
  JobId id;
  int attempt = 1;
  std::string request;
  std::vector<SharedBlob> inputs;
  std::vector<SharedBlob> saved_steps;  ///< of an earlier attempt, in order; see on_step_saved
};

struct JobResult {
  std::vector<std::pair<ResultInfo, SharedBlob>> files;
  std::string info;
};

/// What a worker tells of one job, on a thread of its own; calls for one job do not overlap, and
/// nothing follows the end.
struct WorkerEvents {
  std::function<void(const JobId&, const JobProgress&)> on_progress;
  std::function<void(const JobId&, int step, std::vector<SharedBlob> previews)> on_preview;
  /// Bytes that bring the job's next attempt to this point; opaque to everything between.
  std::function<void(const JobId&, SharedBlob)> on_step_saved;
  std::function<void(const JobId&, JobResult)> on_success;
  std::function<void(const JobId&, JobError)> on_failure;
  /// The worker died (or was stopped by force) with this job: it may be run again.
  std::function<void(const JobId&, std::string reason)> on_lost;
  /// Capacity, life or loaded models changed: look again whether a queued job can begin.
  std::function<void()> on_change;
};

struct WorkerStatus {
  std::string name;    ///< "cpu0"
  std::string device;  ///< "cpu"
  bool alive = false;
  int capacity = 1, running = 0;
  uint64_t restarts = 0, jobs_done = 0;
  std::vector<std::string> models;  ///< loaded ones, the most recently used first
  uint64_t resident_bytes = 0;      ///< of its process
  /// Its caches and other counters, name and value, as the worker tells them.
  std::vector<std::pair<std::string, double>> counters;
};

class Worker {
 public:
  virtual ~Worker() = default;
  /// Before the first run; events stop when stop() has returned.
  virtual void start(WorkerEvents events) = 0;
  virtual WorkerStatus status() const = 0;
  /// Begins a job; the caller keeps to the capacity. Never throws: what goes wrong is an event.
  virtual void run(Assignment assignment) = 0;
  /// The job ends with on_failure(kCancelled) within a step; unknown ids are ignored.
  virtual void cancel(const JobId& id) = 0;
  virtual void stop() = 0;
};

}  // namespace tintype
