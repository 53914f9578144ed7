/// HTTP/1.x requests out of bytes as they come from a socket, bounded at every point. The grammar
/// is Boost.Beast's, the limits and what is refused beyond it are ours. No sockets. Not
/// thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/error_body.h"
#include "http/message.h"

namespace tintype::http {

struct ParserLimits {
  size_t max_header_bytes = 16 * 1024;  ///< request line included
  size_t max_headers = 100;
  size_t max_target_bytes = 8 * 1024;
};

/// A request's head as it came.
struct RequestHead {
  std::string method, target;
  Fields headers;  ///< names in lower case
  bool http_1_0 = false;
  bool keep_alive = true;
  bool chunked = false;
  bool expects_continue = false;
  std::optional<uint64_t> content_length;

  const std::string* header(std::string_view name) const;
  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

class RequestParser {
 public:
  enum class State { kHead, kBody, kDone, kBad };

  explicit RequestParser(const ParserLimits& limits = {});
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;

  /// Takes what it can use of `bytes`, which must begin with what the last call left. Stops behind
  /// the head, and behind the body: what follows is the next request.
  /// returns how many bytes it took
  size_t put(std::string_view bytes);
  State state() const;
  /// Of kBody and kDone.
  const RequestHead& head() const;
  /// Must be called in kBody before its bytes are put: more than `max_bytes` is kBad with 413.
  void allow_body(size_t max_bytes);
  std::string take_body();
  size_t body_bytes() const;
  /// Of kBad: 400, 413, 414, 431, 501 or 505.
  const Problem& problem() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tintype::http
