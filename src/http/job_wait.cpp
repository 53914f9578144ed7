#include "http/job_wait.h"

#include "base/check.h"

namespace tintype::http {
namespace {

class JobWait : public std::enable_shared_from_this<JobWait> {
 public:
  JobWait(DialectServices& services, JobWatcher watcher)
      : services_(services), tasks_(services.tasks), watcher_(std::move(watcher)) {}

  void begin(JobSpec spec, const Reply& reply) {
    // The reply's owner keeps this alive through the callback until the answer is written.
    reply.on_close([self = shared_from_this()] { self->tasks_.post([self] { self->abandon(); }); });
    services_.context.runtime->submit(
        std::move(spec), [self = shared_from_this()](std::variant<Submission, Error> outcome) {
          self->tasks_.post([self, outcome = std::move(outcome)] { self->submitted(outcome); });
        });
  }

 private:
  void submitted(const std::variant<Submission, Error>& outcome) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto* error = std::get_if<Error>(&outcome)) {
        if (ended_) return;
        ended_ = true;
        watcher_.refused(*error);
        watcher_ = {};
        return;
      }
      submission_ = std::get<Submission>(outcome);
      if (ended_) {  // the client went while the job was written
        cancel();
        return;
      }
      if (watcher_.accepted) watcher_.accepted(submission_.job);
    }
    Subscription subscription = services_.context.runtime->subscribe(
        submission_.job->id,
        [self = shared_from_this()](SharedSnapshot job) { self->changed(std::move(job)); });
    const std::lock_guard lock(mutex_);
    if (!ended_) subscription_ = std::move(subscription);
  }

  /// On the runtime's thread: only notes the job, a task looks at it.
  void changed(SharedSnapshot job) {
    {
      const std::lock_guard lock(latest_mutex_);
      const bool is_waiting = latest_ != nullptr;
      latest_ = std::move(job);
      if (is_waiting) return;
    }
    tasks_.post([self = shared_from_this()] { self->look(); });
  }

  void look() {
    Subscription over;  // destroyed without the lock: it may wait for a callback
    {
      const std::lock_guard lock(mutex_);
      SharedSnapshot job;
      {
        const std::lock_guard latest_lock(latest_mutex_);
        job = std::move(latest_);
        latest_ = nullptr;
      }
      if (ended_ || !job) return;
      if (!is_final(job->state)) {
        if (watcher_.changed) watcher_.changed(job);
        return;
      }
      ended_ = true;
      watcher_.ended(job);
      watcher_ = {};
      over = std::move(subscription_);
    }
  }

  void abandon() {
    Subscription over;
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
    over = std::move(subscription_);
    if (watcher_.abandoned) watcher_.abandoned();
    watcher_ = {};
    cancel();
  }

  /// Only a job that this request made: a client key may have named one that others wait for.
  void cancel() {
    if (!submission_.job || !submission_.created) return;
    if (!services_.cancel_on_disconnect || services_.closing) return;
    services_.log.info("job.abandoned", {{"job", submission_.job->id.text()}});
    services_.context.runtime->cancel(submission_.job->id);
  }

  DialectServices& services_;
  TaskQueue& tasks_;  ///< also when the services are gone: the runtime may call back until its end
  std::mutex mutex_;  ///< of all below but latest_; held while the watcher runs
  JobWatcher watcher_;
  Submission submission_;
  Subscription subscription_;
  bool ended_ = false;
  std::mutex latest_mutex_;
  SharedSnapshot latest_;  ///< seen by no task yet
};

}  // namespace

JobSpec spec_of(const DialectServices& services, const Request& request, Json native) {
  const std::string* key = request.header("idempotency-key");
  if (key && !native.contains("client_key")) native["client_key"] = *key;
  return make_callers_job(services.context, std::move(native), request.caller);
}

void submit_and_watch(DialectServices& services, JobSpec spec, const Reply& reply,
                      JobWatcher watcher) {
  std::make_shared<JobWait>(services, std::move(watcher))->begin(std::move(spec), reply);
}

Problem problem_of(const JobSnapshot& job) {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message = "ended without a result";
  switch (job.state) {
    case JobState::kCancelled:
      kind = ErrorKind::kCancelled;
      message = "was cancelled";
      break;
    case JobState::kExpired:
      kind = ErrorKind::kDeadlineExceeded;
      message = "was not done by its deadline";
      break;
    case JobState::kFailed:
    case JobState::kSucceeded:
    case JobState::kQueued:
    case JobState::kRunning:
      break;
  }
  if (job.error) {
    kind = job.error->kind;
    message = job.error->message;
  }
  Problem problem = problem_of(Error(kind, "job", message));
  problem.field.clear();
  return problem;
}

std::vector<SharedBlob> results_of(const JobRuntime& runtime, const JobSnapshot& job) {
  std::vector<SharedBlob> blobs;
  for (size_t i = 0; i < job.results.size(); ++i) {
    SharedBlob blob = runtime.result(job.id, i);
    if (!blob)
      fail(ErrorKind::kNotFound, "job", "must still have its results, got none: they expired");
    blobs.push_back(std::move(blob));
  }
  return blobs;
}

}  // namespace tintype::http
