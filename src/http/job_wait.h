/// One client that waits for its job within one request, as OpenAI's and A1111's APIs have it:
/// submits, follows, and cancels when the client goes. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "http/dialect_services.h"
#include "http/error_body.h"

namespace tintype::http {

/// Called on the services' task threads, one at a time.
struct JobWatcher {
  /// Accepted: the job is on disk.
  std::function<void(const SharedSnapshot&)> accepted = {};
  /// A later state, before the final one; some may be left out.
  std::function<void(const SharedSnapshot&)> changed = {};
  /// The final state. Nothing follows.
  std::function<void(const SharedSnapshot&)> ended = {};
  /// Refused by the runtime. Nothing follows.
  std::function<void(const Error&)> refused = {};
  /// The client went, before the end: nothing of the others follows.
  std::function<void()> abandoned = {};
};

/// Returns at once.
void submit_and_watch(DialectServices& services, JobSpec spec, const Reply& reply,
                      JobWatcher watcher);

/// Why a final job has no results; its error in the words of the worker.
Problem problem_of(const JobSnapshot& job);

/// The results' bytes, in order; reads the store. throws kNotFound: expired meanwhile
std::vector<SharedBlob> results_of(const JobRuntime& runtime, const JobSnapshot& job);

}  // namespace tintype::http
