/// What the routes of OpenAI's and A1111's dialects work with beside the native one's. All of it is
/// borrowed and must outlive the server.
#pragma once

#include <atomic>

#include "http/log.h"
#include "http/message.h"
#include "http/routes_native.h"
#include "http/task_queue.h"

namespace tintype::http {

struct DialectServices {
  ServerContext context;
  TaskQueue& tasks;
  Log& log;
  /// A client of OpenAI's or A1111's API that goes away before its answer cannot come back for it:
  /// its job is cancelled.
  bool cancel_on_disconnect = true;
  /// Set before the server is stopped: connections that it then closes cancel nothing.
  std::atomic<bool> closing{false};
};

/// The job that a native request of this caller asks for; a header Idempotency-Key is its client
/// key. throws as make_callers_job
JobSpec spec_of(const DialectServices& services, const Request& request, Json native);

}  // namespace tintype::http
