/// Routes about the server itself: probes, metrics, the OpenAPI document, the page.
#pragma once

#include <functional>

#include "http/dispatcher.h"
#include "http/router.h"
#include "serving/job_runtime.h"

namespace tintype::http {

/// GET /healthz, /readyz, /metrics. Borrows; `draining` is asked at each call.
void add_probe_routes(Router& router, const JobRuntime& runtime, const HttpMetrics& metrics,
                      std::function<bool()> draining);
/// GET /openapi.json. Added last: it tells of the routes that are there by then, itself included.
void add_openapi_route(Router& router);
/// GET / and the page's other files.
void add_page_routes(Router& router);

}  // namespace tintype::http
