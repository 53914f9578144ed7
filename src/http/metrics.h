/// Everything that the server counts, in Prometheus' text format (version 0.0.4). Pure functions.
#pragma once

#include <string>

#include "http/http_metrics.h"
#include "serving/job_runtime.h"

namespace tintype::http {

std::string prometheus_text(const RuntimeStats& stats, const HttpMetrics& http, bool ready,
                            bool draining);

}  // namespace tintype::http
