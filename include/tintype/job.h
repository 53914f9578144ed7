/// Drawing beside the caller's own work: Engine::submit puts a request into the engine's queue and
/// returns at once. Public.
/// Thread-safety: a Job may be used from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <vector>

#include "tintype/run_context.h"
#include "tintype/text_to_image.h"

namespace tintype {

struct JobOptions {
  /// Called on the engine's thread, as RunContext's. An exception that they throw ends the job.
  std::function<void(const Progress&)> on_progress = {};
  std::function<void(const Preview&)> on_preview = {};
  int preview_every = 1;    ///< see RunContext
  int preview_size_px = 0;  ///< see RunContext
  int priority = 0;         ///< the higher first; jobs of one priority in their order
  /// Counts from the submission: a job that waits longer ends with kDeadlineExceeded, too.
  std::optional<std::chrono::milliseconds> time_limit = {};
};

enum class SubmittedState { kQueued, kRunning, kSucceeded, kFailed, kCancelled };

struct SubmittedJob;

/// A request on its way. A copy is the same job; forgetting all of them does not end it.
class Job {
 public:
  Job() = default;  ///< no job: valid() is false and nothing else may be called
  bool valid() const noexcept { return job_ != nullptr; }

  /// The pictures, or the Error that the request ended with: as the Engine's call of that kind
  /// throws, and kCancelled.
  std::shared_future<std::vector<TextToImageResult>> result() const;
  /// Waits for result() and takes the pictures. throws as result()
  std::vector<TextToImageResult> get() const;

  SubmittedState state() const;
  /// Ends it with kCancelled: at once where it waits, within a step where it runs.
  void cancel() const;

 private:
  friend class SubmissionQueue;
  explicit Job(std::shared_ptr<SubmittedJob> job) : job_(std::move(job)) {}
  std::shared_ptr<SubmittedJob> job_;
};

}  // namespace tintype
