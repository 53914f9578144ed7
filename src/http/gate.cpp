#include "http/gate.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/base64.h"
#include "base/check.h"
#include "base/text.h"
#include "http/ascii.h"

namespace tintype::http {
namespace {

constexpr uint64_t kMaxKeyBytes = 4096;

/// "LOCALHOST:7860" -> "localhost", "[::1]:7860" -> "[::1]"
std::string host_name(std::string_view authority) {
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  std::string name = lower(authority.substr(0, colon));
  while (name.ends_with('.')) name.pop_back();
  return name;
}

bool is_well_formed_host(std::string_view authority) {
  return authority.size() <= 255 && authority.find_first_not_of(
                                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789.-_:[]%") == std::string_view::npos;
}

bool changes_something(std::string_view method) {
  return method != "GET" && method != "HEAD" && method != "OPTIONS";
}

/// Scheme apart, since a proxy in front may speak TLS where we do not.
bool is_same_origin(std::string_view origin, const RequestHead& head) {
  const size_t scheme = origin.find("://");
  const std::string* host = head.header("host");
  return scheme != std::string_view::npos && host &&
         lower(origin.substr(scheme + 3)) == lower(*host);
}

bool is_allowed_origin(std::string_view origin, const GatePolicy& policy) {
  return std::any_of(
      policy.cors_origins.begin(), policy.cors_origins.end(),
      [&](const std::string& allowed) { return allowed == "*" || allowed == origin; });
}

}  // namespace

std::optional<Problem> check_host(const RequestHead& head, const GatePolicy& policy,
                                  bool keys_required) {
  const std::string* host = head.header("host");
  if (!host || host->empty()) {
    if (head.http_1_0 && keys_required) return std::nullopt;
    if (!head.http_1_0) return problem(400, "[host] must be given with HTTP/1.1", "host");
    return problem(403, "[host] must name this server where no keys are asked for", "host");
  }
  if (!is_well_formed_host(*host))
    return problem(400, "[host] must be a name or an address with a port", "host");
  if (keys_required) return std::nullopt;
  const std::string name = host_name(*host);
  if (name == "localhost" || name == "127.0.0.1" || name == "[::1]" || name.ends_with(".localhost"))
    return std::nullopt;
  for (const std::string& allowed : policy.hosts)
    if (host_name(allowed) == name) return std::nullopt;
  return problem(403,
                 cat("[host] must be localhost, 127.0.0.1, [::1] or a name given with --host-name, "
                     "since this server asks for no keys; got \"",
                     printable(*host), "\""),
                 "host");
}

std::optional<Problem> check_origin(const RequestHead& head, const GatePolicy& policy) {
  if (!changes_something(head.method)) return std::nullopt;
  const std::string* origin = head.header("origin");
  if (origin) {
    if (is_same_origin(*origin, head) || is_allowed_origin(*origin, policy)) return std::nullopt;
  } else {
    const std::string* site = head.header("sec-fetch-site");
    if (!site || (*site != "cross-site" && *site != "same-site")) return std::nullopt;
  }
  return problem(403,
                 cat("[origin] must be this server's own page, or allowed by --cors; got \"",
                     printable(origin ? *origin : "none"), "\""),
                 "origin");
}

Fields cors_headers(const RequestHead& head, const GatePolicy& policy) {
  if (policy.cors_origins.empty()) return {};
  Fields out = {{"vary", "Origin"}};
  const std::string* origin = head.header("origin");
  if (!origin || !is_allowed_origin(*origin, policy)) return out;
  // The origin itself and never "*", so that answers of different origins are told apart by caches.
  out.emplace_back("access-control-allow-origin", *origin);
  out.emplace_back("access-control-expose-headers", "Location, Retry-After, ETag, traceparent");
  return out;
}

bool is_preflight(const RequestHead& head) {
  return head.method == "OPTIONS" && head.header("origin") &&
         head.header("access-control-request-method");
}

Response preflight_response(const RequestHead& head, const GatePolicy& policy,
                            const std::vector<std::string>& methods) {
  Response response = empty_response(204);
  if (!is_allowed_origin(*head.header("origin"), policy)) return response;
  response.set("access-control-allow-methods", joined(methods));
  response.set(
      "access-control-allow-headers",
      "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-API-Key, traceparent");
  response.set("access-control-max-age", "600");
  return response;
}

std::string presented_key(const RequestHead& head) {
  if (const std::string* key = head.header("x-api-key")) return *key;
  const std::string* header = head.header("authorization");
  if (!header) return {};
  const size_t space = header->find(' ');
  if (space == std::string::npos) return {};
  const std::string scheme = lower(header->substr(0, space));
  const std::string value =
      header->substr(std::min(header->find_first_not_of(' ', space), header->size()));
  if (scheme == "bearer") return value;
  if (scheme != "basic") return {};
  try {
    const std::string pair = decode_base64(value, "authorization", kMaxKeyBytes);
    const size_t colon = pair.find(':');
    return colon == std::string::npos ? std::string() : pair.substr(colon + 1);
  } catch (const Error&) {
    return {};  // no key
  }
}

Entry authenticate(const RequestHead& head, Scope scope, ApiKeys& keys) {
  if (!keys.required()) return {ApiKeys::everyone(), {}};
  const std::string key = presented_key(head);
  if (key.empty() && scope == Scope::kOpen) return {};
  std::optional<Caller> caller = keys.find(key);
  if (!caller) {
    // Open routes answer whoever asks, also with a key that was taken back.
    if (scope == Scope::kOpen) return {};
    Problem refused = problem(
        401, key.empty()
                 ? "[authorization] must have a key: Authorization: Bearer KEY, or X-API-Key"
                 : "[authorization] must have a key of this server, got another");
    refused.headers = {{"www-authenticate", "Bearer"}};
    return {{}, refused};
  }
  if (!caller->may(scope))
    return {*caller,
            problem(403, cat("[authorization] must have a key of the scope ", to_string(scope)))};
  if (const double seconds = keys.take_request(*caller); seconds > 0) {
    Problem refused = problem(429, "[rate] must stay within the key's requests per second");
    refused.retry_after_s = static_cast<int>(std::ceil(seconds));
    return {*caller, refused};
  }
  return {*std::move(caller), {}};
}

}  // namespace tintype::http
