/// Trace ids as OpenTelemetry passes them between services: the W3C `traceparent` header.
/// Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace tintype::http {

struct Trace {
  std::string trace_id;  ///< 32 hex digits, not all zeros
  std::string span_id;   ///< 16 hex digits: of this request here
  bool sampled = true;

  /// "00-<trace_id>-<span_id>-01"
  std::string header() const;
};

/// The caller's trace with a span of our own; a new trace where `traceparent` is empty or
/// malformed.
Trace make_trace(std::string_view traceparent);

}  // namespace tintype::http
