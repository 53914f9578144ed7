/// The OpenAPI document, printed from the table of routes. Pure function.
#pragma once

#include <string_view>

#include "base/json.h"
#include "http/router.h"

namespace tintype::http {

/// OpenAPI 3.1. Every route that is not hidden is in it with its parameters, body, scope and
/// errors.
Json openapi_document(const Router& router, std::string_view version);

}  // namespace tintype::http
