/// Events of jobs to many listeners: one subscription and one serialisation for all who look at the
/// same job. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "http/message.h"
#include "serving/job_runtime.h"

namespace tintype::http {

class JobEvents {
 public:
  /// Borrows; it must outlive this.
  explicit JobEvents(JobRuntime& runtime);
  ~JobEvents();

  /// Events of one job: `now` at once unless `seen` is its revision, then each change, and the end
  /// with the job.
  SharedStream follow(const SharedSnapshot& now, std::optional<uint64_t> seen);
  /// Events of all jobs of `caller`, an admin's of everyone: those that are live, then each change.
  SharedStream follow_all(const Caller& caller);
  /// Ends the streams of a job that was deleted.
  void forget(const JobId& id);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tintype::http
