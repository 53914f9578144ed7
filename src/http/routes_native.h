/// The native dialect: docs/server.md. Routes are added to a router; their handlers borrow what is
/// named here.
#pragma once

#include "http/job_events.h"
#include "http/router.h"
#include "requests/catalogue.h"
#include "requests/job_request.h"
#include "serving/job_runtime.h"

namespace tintype::http {

/// What the handlers of every dialect work with. All of it outlives the server.
struct ServerContext {
  JobRuntime* runtime = nullptr;
  const Catalogue* catalogue = nullptr;
  JobEvents* events = nullptr;
  RequestLimits limits;  ///< max_priority is each caller's
  /// Where a request says nothing of previews: every so many steps (0: none), so many pixels.
  int preview_every = 5, preview_size_px = 256;
  size_t max_body_bytes = size_t{64} << 20;  ///< of requests with pictures
};

/// The limits of this caller's requests.
RequestLimits limits_of(const ServerContext& context, const Caller& caller);

/// Fills in the preview where the request has none, takes the caller's limits, sets the owner; what
/// every dialect does with the native request that it has made of its own.
/// throws as make_job; kQueueFull: the caller's own allowance of queued jobs is used up
JobSpec make_callers_job(const ServerContext& context, Json request, const Caller& caller);

/// What submit's callback got, as the problem it is: 409 for a client key used for another request,
/// 429 with the time to wait, 503 while the server shuts down.
Problem submit_problem(const ServerContext& context, const Error& error);

/// The job if the caller may know of it. throws kNotFound: unknown, malformed, or somebody else's
SharedSnapshot find_job(const ServerContext& context, std::string_view id, const Caller& caller);

void add_native_routes(Router& router, const ServerContext& context);

}  // namespace tintype::http
