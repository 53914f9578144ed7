/// Runs jobs on one engine: what a worker process does, without its socket. Up to max_concurrent
/// jobs at once, each on a thread of its own. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "requests/canonical_request.h"
#include "serving/worker.h"
#include "tintype/engine.h"
#include "worker/path_scrubber.h"
#include "worker/resident_models.h"

namespace tintype {

class JobProgressMap;

struct WorkerSettings {
  std::string device = "cpu";
  int threads = 0;                  ///< 0: one per core
  uint64_t memory_limit_bytes = 0;  ///< of one job; 0: what the machine has
  /// What the weights of models kept in memory may take; the least recently used go first. 0: six
  /// tenths of the memory limit, or of the machine's memory.
  uint64_t model_memory_bytes = 0;
  int max_concurrent = 1;
  std::vector<std::string> warm_up =
      {};  ///< models that are loaded and draw a step before the first job
};

/// What is told of jobs, on the job's thread: the senders of WorkerChannel.
struct JobReports {
  std::function<void(const JobId&, const JobProgress&)> progress;
  std::function<void(const JobId&, int step, std::vector<SharedBlob> previews)> preview;
  std::function<void(const JobId&, SharedBlob)> step_saved;
  std::function<void(const JobId&, JobResult)> succeeded;
  std::function<void(const JobId&, JobError)> failed;
  std::function<void(std::vector<std::string> models, uint64_t resident_bytes,
                     std::vector<std::pair<std::string, double>> counters)>
      status;
};

class Executor {
 public:
  /// `catalogue` names every model (Catalogue::resolved).
  /// throws kInvalidArgument: settings
  Executor(const WorkerSettings& settings, const CatalogueOptions& catalogue, JobReports reports);
  ~Executor();  ///< cancels what runs and waits for it: a step at most
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Loads the models of WorkerSettings::warm_up. What fails there is said on stderr: their jobs
  /// will tell why, and others need not suffer.
  void warm_up();
  void run(Assignment assignment);
  /// Ends the job with kCancelled within a step, also one that waits; unknown ids are ignored.
  void cancel(const JobId& id);
  /// Tells models, memory and counters.
  void report_status();

 private:
  struct Task;
  void work();
  void run_task(Task& task);
  JobResult carry_out(Task& task);
  void draw(Task& task, JobRequest& job, JobResult& result);
  void upscale(Task& task, JobRequest& job, JobResult& result);
  std::vector<TextToImageResult> draw_one(Task& task, const JobRequest& job, const Model& model,
                                          const Model* refiner);

  const WorkerSettings settings_;
  const CatalogueOptions catalogue_;
  const JobReports reports_;
  const PathScrubber paths_;
  const Engine engine_;
  ResidentModels models_;

  std::mutex mutex_;  ///< of what follows
  std::condition_variable wake_;
  bool ending_ = false;
  std::deque<std::shared_ptr<Task>> waiting_;
  std::vector<std::shared_ptr<Task>> running_;
  uint64_t jobs_done_ = 0, jobs_failed_ = 0, steps_replayed_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace tintype
