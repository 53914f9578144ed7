#include "http/error_body.h"

#include "base/json.h"
#include "base/text.h"

namespace tintype::http {
namespace {

/// The kind that goes with a status that no ErrorKind has brought.
std::string_view kind_of_status(int status) {
  switch (status) {
    case 401:
      return "unauthorized";
    case 403:
      return "forbidden";
    case 404:
      return "not_found";
    case 405:
    case 415:
    case 422:
    case 501:
    case 505:
      return "unsupported";
    case 408:
    case 504:
      return "deadline_exceeded";
    case 429:
      return "queue_full";
    case 503:
      return "not_ready";
    default:
      return status < 500 ? "invalid_argument" : "internal";
  }
}

/// "[steps] must be ..." -> "steps"; "" where the message has another form.
std::string where_of(std::string_view message) {
  if (message.empty() || message[0] != '[') return {};
  const size_t end = message.find(']');
  return end == std::string_view::npos ? "" : std::string(message.substr(1, end - 1));
}

}  // namespace

int status_of(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return 400;
    case ErrorKind::kNotFound:
      return 404;
    case ErrorKind::kCorruptFile:
    case ErrorKind::kUnsupported:
      return 422;
    case ErrorKind::kOutOfMemory:
      return 507;
    case ErrorKind::kIo:
    case ErrorKind::kInternal:
      return 500;
    case ErrorKind::kQueueFull:
      return 429;
    case ErrorKind::kCancelled:
      return 499;
    case ErrorKind::kDeadlineExceeded:
      return 504;
  }
  return 500;
}

Problem problem_of(const Error& error) {
  if (const auto* refusal = dynamic_cast<const Refusal*>(&error)) return refusal->problem();
  Problem out;
  out.status = status_of(error.kind());
  out.kind = to_string(error.kind());
  out.message = printable(error.what(), 2000);
  out.field = printable(where_of(error.what()), 100);
  if (error.kind() == ErrorKind::kIo || error.kind() == ErrorKind::kInternal) {
    out.message = "[server] the request met a fault of the server; its log says which";
    out.field = "";
  }
  if (error.kind() == ErrorKind::kQueueFull) out.retry_after_s = 5;
  return out;
}

Problem problem(int status, std::string message, std::string field) {
  Problem out;
  out.status = status;
  out.kind = kind_of_status(status);
  out.message = std::move(message);
  out.field = std::move(field);
  return out;
}

Response native_error(const Problem& problem) {
  Json error = {{"kind", problem.kind}, {"message", problem.message}};
  error["field"] = problem.field.empty() ? Json(nullptr) : Json(problem.field);
  return json_response(problem.status, Json{{"error", std::move(error)}}.dump(
                                           -1, ' ', false, Json::error_handler_t::replace));
}

Response error_response(const Problem& problem, ErrorBody body) {
  Response response = body(problem);
  for (const auto& [name, value] : problem.headers) response.set(name, value);
  if (problem.retry_after_s) response.set("retry-after", std::to_string(*problem.retry_after_s));
  return response;
}

}  // namespace tintype::http
