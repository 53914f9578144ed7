/// Small helpers of the dialects' routes.
#pragma once

#include <exception>
#include <new>

#include "http/error_body.h"
#include "http/log.h"
#include "http/message.h"

namespace tintype::http {

/// The Problem of whatever is being thrown; call inside a catch block.
inline Problem current_problem(Log& log) {
  try {
    throw;
  } catch (const Error& error) {
    const Problem found = problem_of(error);
    if (found.status >= 500) log.error("dialect.fault", {{"message", error.what()}});
    return found;
  } catch (const std::bad_alloc&) {
    return problem_of(Error(ErrorKind::kOutOfMemory, "server", "has no memory for the answer"));
  } catch (const std::exception& error) {
    log.error("dialect.fault", {{"message", error.what()}});
    return problem_of(Error(ErrorKind::kInternal, "server", error.what()));
  }
}

/// Sends what `make` returns, or what it throws in the dialect's form.
template <typename Make>
void answer(const Reply& reply, ErrorBody form, Log& log, const Make& make) {
  try {
    reply.send(make());
  } catch (...) {
    reply.send(error_response(current_problem(log), form));
  }
}

}  // namespace tintype::http
