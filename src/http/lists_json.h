/// What a request may name, as lists: docs/server.md, "What a request may name". Pure functions.
#pragma once

#include <string>

#include "requests/catalogue.h"
#include "requests/job_request.h"

namespace tintype::http {

/// Also what OpenAI's clients read.
std::string models_json(const Catalogue& catalogue, const RequestLimits& limits);
std::string adapters_json(const Catalogue& catalogue);
std::string upscalers_json(const Catalogue& catalogue);
std::string samplers_json();
std::string presets_json();

}  // namespace tintype::http
