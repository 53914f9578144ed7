#include "engine/submission_queue.h"

#include <algorithm>

#include "base/check.h"

namespace tintype {

struct SubmittedJob {
  SubmissionQueue::Draw draw;
  RunContext context;
  int priority = 0;
  std::promise<std::vector<TextToImageResult>> promise = {};
  std::shared_future<std::vector<TextToImageResult>> result = promise.get_future().share();
  std::atomic<SubmittedState> state{SubmittedState::kQueued};

  /// Whoever moves it out of the queue ends it: its thread, or the one that cancels it.
  bool leave_queue(SubmittedState to) {
    SubmittedState queued = SubmittedState::kQueued;
    return state.compare_exchange_strong(queued, to);
  }

  void cancel() {
    context.cancel();
    if (!leave_queue(SubmittedState::kCancelled)) return;
    draw = {};
    promise.set_exception(std::make_exception_ptr(
        Error(ErrorKind::kCancelled, "submit", "the job was cancelled before it began")));
  }

  void run() {
    if (!leave_queue(SubmittedState::kRunning)) return;
    try {
      context.check();
      std::vector<TextToImageResult> drawn = draw(context);
      draw = {};  // lets go of the model
      state = SubmittedState::kSucceeded;
      promise.set_value(std::move(drawn));
    } catch (const Error& error) {
      end(error.kind() == ErrorKind::kCancelled ? SubmittedState::kCancelled
                                                : SubmittedState::kFailed);
    } catch (...) {
      end(SubmittedState::kFailed);
    }
  }

  /// With the exception being handled.
  void end(SubmittedState how) {
    draw = {};
    state = how;
    promise.set_exception(std::current_exception());
  }
};

std::shared_future<std::vector<TextToImageResult>> Job::result() const { return job_->result; }

std::vector<TextToImageResult> Job::get() const { return job_->result.get(); }

SubmittedState Job::state() const { return job_->state; }

void Job::cancel() const { job_->cancel(); }

SubmissionQueue::~SubmissionQueue() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    for (const auto& job : waiting_) job->cancel();
    if (running_) running_->cancel();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Job SubmissionQueue::submit(Draw draw, const JobOptions& options) {
  const auto job = std::make_shared<SubmittedJob>();
  job->draw = std::move(draw);
  job->priority = options.priority;
  job->context.on_progress = options.on_progress;
  job->context.on_preview = options.on_preview;
  job->context.preview_every = options.preview_every;
  job->context.preview_size_px = options.preview_size_px;
  if (options.time_limit) job->context.deadline = RunContext::Clock::now() + *options.time_limit;
  {
    const std::scoped_lock lock(mutex_);
    std::erase_if(waiting_, [](const auto& one) { return one->context.cancelled(); });
    if (waiting_.size() >= max_queued_)
      fail(ErrorKind::kQueueFull, "submit", "at most ", max_queued_,
           " jobs may wait, and as many do; try again later");
    waiting_.push_back(job);
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  }
  wake_.notify_one();
  return Job(job);
}

void SubmissionQueue::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const auto first =
        std::max_element(waiting_.begin(), waiting_.end(),
                         [](const auto& a, const auto& b) { return a->priority < b->priority; });
    running_ = *first;
    waiting_.erase(first);
    lock.unlock();
    running_->run();
    lock.lock();
    running_ = nullptr;
  }
}

}  // namespace tintype
