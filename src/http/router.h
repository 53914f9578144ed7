/// The table of routes: what is served, to whom, with which limits. Requests are matched against
/// it, and the OpenAPI document is printed from it. Filled before the server starts, const after
/// that.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "http/error_body.h"
#include "http/message.h"

namespace tintype::http {

/// Answers through the Reply, now or later. What it throws is answered in the route's error form.
using Handler = std::function<void(SharedRequest, Reply)>;
/// One that answers at once.
using SyncHandler = std::function<Response(const Request&)>;
Handler sync(SyncHandler handler);

/// A field of the query, for the OpenAPI document.
struct QueryParameter {
  std::string name, description;
  std::string type = "string";  ///< "string", "integer", "number", "boolean"
};

struct Route {
  std::string method;   ///< "GET", "POST", "PUT", "DELETE"; HEAD and OPTIONS come by themselves
  std::string pattern;  ///< "/v1/jobs/{id}"; a parameter is one whole segment
  Handler handler;
  Scope scope = Scope::kRead;
  size_t max_body = 0;  ///< bytes; 0: the route takes no body
  /// Media types that a body may have, "application/json"; empty: any. A body without a
  /// Content-Type passes.
  std::vector<std::string> media_types = {};
  /// Runs on the server's worker thread and not on its I/O thread: reads a disk, decodes pictures.
  /// Handlers of bodies above 64 KB do anyway.
  bool blocking = false;
  std::string summary = {};  ///< one sentence
  std::string tag = {};      ///< "jobs", "openai", ...
  std::vector<QueryParameter> query = {};
  Json body_schema = nullptr;  ///< JSON schema of the body; null: none, or not JSON
  ErrorBody error = native_error;
  bool hidden = false;  ///< not in the OpenAPI document: the page's files
};

class Router {
 public:
  /// throws kInternal: a pattern that is malformed or there already with that method
  void add(Route route);
  /// The error form of paths below `prefix` that match no route.
  void set_error_body(std::string prefix, ErrorBody body);

  struct Match {
    const Route* route = nullptr;      ///< null: see allowed
    std::vector<std::string> allowed;  ///< methods of the routes that have this path; empty: none
    Fields params;
  };
  /// `path` is decoded. HEAD matches GET's route. Literal segments win over parameters.
  Match find(std::string_view method, std::string_view path) const;
  ErrorBody error_body(std::string_view path) const;

  const std::vector<Route>& routes() const { return routes_; }

 private:
  struct Parsed {
    std::vector<std::string> segments;  ///< parameters as "{id}"
  };
  std::vector<Route> routes_;
  std::vector<Parsed> parsed_;  ///< of each route
  std::vector<std::pair<std::string, ErrorBody>> error_bodies_;
};

}  // namespace tintype::http
