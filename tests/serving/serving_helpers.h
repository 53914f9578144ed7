/// What the tests of serving share: a worker that the test plays itself, waiting, specs. Test code
/// only.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "image/test_folder.h"
#include "serving/job_runtime.h"
#include "serving/worker_process.h"

namespace tintype {

using namespace std::chrono_literals;

/// True as soon as `condition` is; false after ten seconds.
template <typename Condition>
bool eventually(const Condition& condition, std::chrono::milliseconds limit = 10s) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// The kind of what `call` throws, and its message.
template <typename Call>
std::pair<ErrorKind, std::string> error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  ADD_FAILURE() << "no error was thrown";
  return {ErrorKind::kInternal, ""};
}

/// Takes jobs and does nothing until the test says what. Shared, because the runtime owns workers.
class PlayedWorker {
 public:
  explicit PlayedWorker(int capacity = 1, std::string name = "w0") {
    status_.name = std::move(name);
    status_.capacity = capacity;
    status_.alive = true;
  }

  /// What the runtime gets.
  class Handle : public Worker {
   public:
    explicit Handle(std::shared_ptr<PlayedWorker> worker) : worker_(std::move(worker)) {}
    void start(WorkerEvents events) override { worker_->events = std::move(events); }
    WorkerStatus status() const override {
      const std::lock_guard lock(worker_->mutex_);
      return worker_->status_;
    }
    void run(Assignment assignment) override {
      const std::lock_guard lock(worker_->mutex_);
      worker_->taken_.push_back(std::move(assignment));
    }
    void cancel(const JobId& id) override {
      {
        const std::lock_guard lock(worker_->mutex_);
        worker_->cancelled_.push_back(id);
        if (!worker_->obeys) return;
      }
      worker_->events.on_failure(id, {ErrorKind::kCancelled, "cancelled"});
    }
    void stop() override {}

   private:
    std::shared_ptr<PlayedWorker> worker_;
  };

  size_t taken() const {
    const std::lock_guard lock(mutex_);
    return taken_.size();
  }
  /// The n-th job it was given; waits for it.
  Assignment job(size_t n) const {
    if (!eventually([&] { return taken() > n; })) {
      ADD_FAILURE() << "job " << n << " was never begun";
      return {};
    }
    const std::lock_guard lock(mutex_);
    return taken_[n];
  }
  bool was_cancelled(const JobId& id) const {
    const std::lock_guard lock(mutex_);
    return std::find(cancelled_.begin(), cancelled_.end(), id) != cancelled_.end();
  }
  void set_alive(bool alive) {
    {
      const std::lock_guard lock(mutex_);
      status_.alive = alive;
    }
    events.on_change();
  }
  void succeed(const JobId& id, const std::string& bytes = "picture") const {
    JobResult result;
    ResultInfo info;
    info.media_type = "image/png";
    result.files.emplace_back(info, std::make_shared<Blob>(Blob{"image/png", bytes}));
    result.info = "{}";
    events.on_success(id, std::move(result));
  }

  WorkerEvents events;
  bool obeys = true;  ///< ends a job when it is told to

 private:
  mutable std::mutex mutex_;
  WorkerStatus status_;
  std::vector<Assignment> taken_;
  std::vector<JobId> cancelled_;
};

inline std::vector<std::unique_ptr<Worker>> played(
    const std::vector<std::shared_ptr<PlayedWorker>>& workers) {
  std::vector<std::unique_ptr<Worker>> out;
  for (const auto& worker : workers) out.push_back(std::make_unique<PlayedWorker::Handle>(worker));
  return out;
}

inline JobSpec spec_of(std::string request, std::string owner = "") {
  JobSpec spec;
  spec.request = std::move(request);
  spec.owner = std::move(owner);
  spec.model = "model";
  return spec;
}

inline SharedBlob blob_of(std::string bytes) {
  return std::make_shared<Blob>(Blob{"image/png", std::move(bytes)});
}

inline bool wait_for_state(const JobRuntime& runtime, const JobId& id, JobState state) {
  return eventually([&] {
    const SharedSnapshot job = runtime.find(id);
    return job && job->state == state;
  });
}

/// A runtime over a store of its own and one played worker.
class PlayedRuntimeTest : public ::testing::Test {
 protected:
  PlayedRuntimeTest() { options_.store = folder_.path() / "jobs.sqlite"; }
  /// Again: as a server that was ended and started.
  void open(int capacity = 1) {
    runtime_.reset();
    worker_ = std::make_shared<PlayedWorker>(capacity);
    runtime_ = std::make_unique<JobRuntime>(options_, played({worker_}));
  }
  JobId submit(const JobSpec& spec) { return runtime_->submit(spec).job->id; }
  SharedSnapshot find(const JobId& id) { return runtime_->find(id); }

  TestFolder folder_;
  RuntimeOptions options_;
  std::shared_ptr<PlayedWorker> worker_;
  std::unique_ptr<JobRuntime> runtime_;
};

}  // namespace tintype
