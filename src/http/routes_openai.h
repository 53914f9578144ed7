/// Routes of OpenAI's images API: /v1/images/generations, /v1/images/edits, and the addresses of
/// results that they answer. (/v1/models is the native API's and suits both.)
#pragma once

#include "http/dialect_services.h"
#include "http/router.h"

namespace tintype::http {

/// `services` must outlive the server.
void add_openai_routes(Router& router, DialectServices& services);

}  // namespace tintype::http
