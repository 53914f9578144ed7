/// Jobs as the native API tells them: docs/server.md, "A job". Pure functions.
#pragma once

#include <string>

#include "serving/job.h"

namespace tintype::http {

/// "2026-11-21T20:04:27.123Z"
std::string time_text(WallClock::time_point time);

/// Every member is there; what does not apply is null or an empty list.
std::string job_json(const JobSnapshot& job);

}  // namespace tintype::http
