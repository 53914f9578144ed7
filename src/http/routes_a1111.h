/// Routes of the API of AUTOMATIC1111's web UI, /sdapi/v1/...: drawing, progress, options and
/// lists.
#pragma once

#include "http/dialect_services.h"
#include "http/router.h"

namespace tintype::http {

/// `services` must outlive the server.
void add_a1111_routes(Router& router, DialectServices& services);

}  // namespace tintype::http
