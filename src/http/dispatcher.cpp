#include "http/dispatcher.h"

#include <algorithm>
#include <new>

#include "base/check.h"
#include "base/text.h"
#include "http/target.h"

namespace tintype::http {
namespace {

/// "application/json; charset=utf-8" -> "application/json"
std::string media_type_of(const std::string& header) {
  std::string type = header.substr(0, header.find(';'));
  while (type.ends_with(' ')) type.pop_back();
  for (char& c : type)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return type;
}

const std::vector<std::string>& known_methods() {
  static const std::vector<std::string> kMethods = {"GET",    "HEAD",    "POST", "PUT",
                                                    "DELETE", "OPTIONS", "PATCH"};
  return kMethods;
}

}  // namespace

Dispatcher::Dispatcher(const Router& router, ApiKeys& keys, Log& log, HttpMetrics& metrics,
                       DispatcherOptions options)
    : router_(&router),
      keys_(&keys),
      log_(&log),
      metrics_(&metrics),
      options_(std::move(options)) {}

ErrorBody Dispatcher::error_body(const Admission& admission) const {
  return admission.route ? admission.route->error : router_->error_body(admission.request->path);
}

Dispatcher::Admission Dispatcher::admit(const RequestHead& head, const std::string& remote,
                                        bool secure) const {
  Admission admission;
  admission.request = std::make_shared<Request>();
  Request& request = *admission.request;
  request.method = head.method == "HEAD" ? "GET" : head.method;
  request.headers = head.headers;
  request.remote = remote;
  request.secure = secure;
  if (const std::string* host = head.header("host")) request.authority = *host;
  const std::string* parent = head.header("traceparent");
  admission.trace = make_trace(parent ? *parent : std::string_view());
  request.trace_id = admission.trace.trace_id;
  admission.is_head = head.method == "HEAD";
  admission.cors = cors_headers(head, options_.gate);
  const std::optional<Problem> refused = refuse(head, admission);
  if (refused) {
    admission.answer = error_response(*refused, error_body(admission));
    admission.route = nullptr;
  }
  return admission;
}

std::optional<Problem> Dispatcher::refuse(const RequestHead& head, Admission& admission) const {
  Request& request = *admission.request;
  const auto& methods = known_methods();
  if (std::find(methods.begin(), methods.end(), head.method) == methods.end())
    return problem(501, cat("[method] ", unknown_name(head.method, methods)));
  // "*" is OPTIONS' word for the server as a whole.
  const auto target =
      parse_target(head.method == "OPTIONS" && head.target == "*" ? "/" : head.target);
  if (!target)
    return problem(400, "[target] must be a path with well-formed escapes and no dot segments");
  request.path = target->path;
  request.query = target->query;
  if (auto wrong = check_host(head, options_.gate, keys_->required())) return wrong;
  Router::Match match = router_->find(head.method, request.path);
  if (match.allowed.empty())
    return problem(404,
                   cat("[path] must be a route of this server, got ", printable(request.path)));
  std::vector<std::string> allowed = match.allowed;
  allowed.emplace_back("OPTIONS");
  if (head.method == "OPTIONS") {
    admission.answer =
        is_preflight(head) ? preflight_response(head, options_.gate, allowed) : empty_response(204);
    admission.answer->set("allow", joined(allowed));
    return std::nullopt;
  }
  if (!match.route) {
    Problem wrong = problem(
        405, cat("[method] must be one of ", joined(allowed), ", got ", printable(head.method)));
    wrong.headers = {{"allow", joined(allowed)}};
    return wrong;
  }
  admission.route = match.route;
  request.route = match.route->pattern;
  request.params = std::move(match.params);
  if (auto wrong = check_origin(head, options_.gate)) return wrong;
  Entry entry = authenticate(head, match.route->scope, *keys_);
  request.caller = std::move(entry.caller);
  if (entry.refused) return entry.refused;
  if (draining_ && match.route->scope == Scope::kSubmit && head.method == "POST") {
    Problem later = problem(503, "[server] is shutting down and takes no more jobs");
    later.retry_after_s = 10;
    return later;
  }
  if (!head.has_body()) return std::nullopt;
  if (head.content_length.value_or(0) > match.route->max_body || match.route->max_body == 0)
    return problem(413, cat("[body] must have at most ", match.route->max_body, " bytes"), "body");
  const std::string* type = head.header("content-type");
  const std::vector<std::string>& types = match.route->media_types;
  if (type && !types.empty() &&
      std::find(types.begin(), types.end(), media_type_of(*type)) == types.end())
    return problem(415, cat("[content-type] ", unknown_name(media_type_of(*type), types)),
                   "content-type");
  return std::nullopt;
}

void Dispatcher::handle(const Admission& admission, const Reply& reply) const {
  const SharedRequest request = admission.request;
  try {
    admission.route->handler(request, reply);
  } catch (const Error& error) {
    const Problem problem = problem_of(error);
    // What callers are not told.
    if (problem.status == 500)
      log_->error("fault", {{"route", request->route},
                            {"message", std::string(error.what())},
                            {"trace_id", request->trace_id}});
    reply.send(error_response(problem, admission.route->error));
  } catch (const std::bad_alloc&) {
    reply.send(error_response(
        problem_of(Error(ErrorKind::kOutOfMemory, "memory", "must hold the request, got no more")),
        admission.route->error));
  } catch (const std::exception& error) {
    log_->error("fault", {{"route", request->route},
                          {"message", std::string(error.what())},
                          {"trace_id", request->trace_id}});
    reply.send(error_response(problem_of(Error(ErrorKind::kInternal, "server", error.what())),
                              admission.route->error));
  }
}

void Dispatcher::complete(const Admission& admission, Response& response) const {
  const auto add_missing = [&response](std::string_view name, std::string_view value) {
    if (!response.header(name)) response.headers.emplace_back(name, value);
  };
  add_missing("cache-control", "no-store");
  add_missing("x-content-type-options", "nosniff");
  add_missing("referrer-policy", "no-referrer");
  if (options_.gate.cors_origins.empty())
    add_missing("cross-origin-resource-policy", "same-origin");
  for (const auto& [name, value] : admission.cors) response.set(name, value);
  if (!admission.trace.trace_id.empty()) response.set("traceparent", admission.trace.header());
}

void Dispatcher::account(const Admission& admission, int status, double seconds,
                         size_t bytes) const {
  const Request& request = *admission.request;
  const std::string route = request.route.empty() ? "other" : request.route;
  const auto& methods = known_methods();
  const bool is_known = std::find(methods.begin(), methods.end(), request.method) != methods.end();
  metrics_->count(is_known ? request.method : "other", route, status, seconds);
  const bool quiet = status < 400 && admission.route && admission.route->scope == Scope::kOpen;
  if (!options_.access_log || quiet) return;
  const std::string* job = nullptr;
  for (const auto& [name, value] : request.params)
    if (name == "id") job = &value;
  log_->write(status >= 500 ? LogLevel::kError : LogLevel::kInfo, "request",
              {{"method", request.method},
               {"path", request.path},
               {"status", int64_t{status}},
               {"seconds", seconds},
               {"bytes", static_cast<int64_t>(bytes)},
               {"remote", request.remote},
               {"key", request.caller.id},
               {"job", job ? *job : std::string()},
               {"trace_id", request.trace_id}});
}

}  // namespace tintype::http
