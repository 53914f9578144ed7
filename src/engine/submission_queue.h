/// The queue behind Engine::submit: one thread that runs jobs one after the other, since one fills
/// the cores. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tintype/job.h"

namespace tintype {

class SubmissionQueue {
 public:
  using Draw = std::function<std::vector<TextToImageResult>(const RunContext&)>;

  explicit SubmissionQueue(size_t max_queued) : max_queued_(max_queued) {}
  /// Cancels what waits and what runs, and waits for that.
  ~SubmissionQueue();
  SubmissionQueue(const SubmissionQueue&) = delete;
  SubmissionQueue& operator=(const SubmissionQueue&) = delete;

  /// throws kQueueFull
  Job submit(Draw draw, const JobOptions& options);

 private:
  void work();

  const size_t max_queued_;
  std::mutex mutex_;  ///< of what follows
  std::condition_variable wake_;
  bool ending_ = false;
  std::vector<std::shared_ptr<SubmittedJob>> waiting_;  ///< in their order
  std::shared_ptr<SubmittedJob> running_;
  std::thread thread_;  ///< from the first job on
};

}  // namespace tintype
