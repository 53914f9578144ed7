/// What the routes of a dialect work with. All of it is borrowed and must outlive the server.
#pragma once

#include <atomic>

#include "http/log.h"
#include "http/message.h"
#include "http/task_queue.h"
#include "requests/catalogue.h"
#include "requests/job_request.h"
#include "serving/job_runtime.h"

namespace tintype::http {

struct DialectServices {
  JobRuntime& runtime;
  const Catalogue& catalogue;
  RequestLimits limits;
  TaskQueue& tasks;
  Log& log;
  /// A client of OpenAI's or A1111's API that goes away before its answer cannot come back for it:
  /// its job is cancelled.
  bool cancel_on_disconnect = true;
  /// Set before the server is stopped: connections that it then closes cancel nothing.
  std::atomic<bool> closing{false};
};

/// The job that a native request of this caller asks for. throws as make_job
JobSpec spec_of(const DialectServices& services, const Request& request, const Json& native);

}  // namespace tintype::http
