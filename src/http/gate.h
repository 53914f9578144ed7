/// Who is let in before any handler runs: names of this host, origins of pages, keys. Pure
/// functions but for the key's allowance.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/api_keys.h"
#include "http/error_body.h"
#include "http/message.h"
#include "http/request_parser.h"
#include "http/router.h"

namespace tintype::http {

struct GatePolicy {
  /// Names beside localhost, 127.0.0.1 and [::1] under which a server without keys may be called.
  std::vector<std::string> hosts;
  /// "https://example.org", or "*": origins whose pages may call; empty: only our own page.
  std::vector<std::string> cors_origins;
};

/// The Host header. A server without keys answers only to names of its own: a page elsewhere whose
/// name was pointed at this machine (DNS rebinding) would otherwise be taken for our own.
std::optional<Problem> check_host(const RequestHead& head, const GatePolicy& policy,
                                  bool keys_required);

/// Requests that change something, sent by a browser for a page of another origin: 403, unless CORS
/// allows that origin.
std::optional<Problem> check_origin(const RequestHead& head, const GatePolicy& policy);

/// Headers that let the caller's origin read the answer; none where CORS does not allow it.
Fields cors_headers(const RequestHead& head, const GatePolicy& policy);
bool is_preflight(const RequestHead& head);
Response preflight_response(const RequestHead& head, const GatePolicy& policy,
                            const std::vector<std::string>& methods);

/// Of `Authorization: Bearer KEY`, `X-API-Key: KEY`, or the password of Basic, which A1111's
/// clients send. "": none.
std::string presented_key(const RequestHead& head);

/// The caller, or 401, 403, 429.
struct Entry {
  Caller caller;
  std::optional<Problem> refused;
};
Entry authenticate(const RequestHead& head, Scope scope, ApiKeys& keys);

}  // namespace tintype::http
