/// Errors as answers: the one home of the kinds' statuses, and the native dialect's error object.
/// Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"
#include "tintype/error.h"

namespace tintype::http {

/// Status of a kind; the table of docs/server.md.
int status_of(ErrorKind kind) noexcept;

/// What went wrong with a request, before a dialect gives it its form.
struct Problem {
  int status = 500;
  std::string kind;     ///< "invalid_argument", "unauthorized", "not_found", ...
  std::string message;  ///< whole, as people read it
  std::string field;    ///< the member or parameter at fault; "": none
  std::optional<int> retry_after_s;
  Fields headers = {};  ///< further ones: Allow, WWW-Authenticate
};

/// Of an error that a handler threw; `field` is its "[where]". Messages of internal and I/O errors
/// may name files of the server: they are replaced and belong into the log.
Problem problem_of(const Error& error);
/// 401, 403, 404, 405, 408, 413, 415, 429, 431, 503, ... with the kind that docs/server.md names.
Problem problem(int status, std::string message, std::string field = "");

/// Gives a problem a dialect's form. The server adds the problem's headers and Retry-After.
using ErrorBody = Response (*)(const Problem&);

/// {"error": {"kind": ..., "message": ..., "field": ...}}
Response native_error(const Problem& problem);

/// `body`'s form of it with headers and Retry-After.
Response error_response(const Problem& problem, ErrorBody body);

/// A refusal with a status of its own, thrown by handlers where no ErrorKind says it (401, 403,
/// 409, 413, 415, 503).
class Refusal : public Error {
 public:
  explicit Refusal(Problem refused)
      : Error(ErrorKind::kInvalidArgument, refused.field.empty() ? "request" : refused.field,
              refused.message),
        problem_(std::move(refused)) {}
  const Problem& problem() const { return problem_; }

 private:
  Problem problem_;
};

}  // namespace tintype::http
