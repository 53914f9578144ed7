#include "http/openapi.h"

#include "http/ascii.h"

#include <algorithm>

namespace tintype::http {
namespace {

/// "GET", "/v1/jobs/{id}" -> "get_v1_jobs_id"
std::string operation_id(const Route& route) {
  std::string out = lower(route.method);
  for (const char c : route.pattern) {
    const bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (is_word)
      out += c;
    else if (out.back() != '_')
      out += '_';
  }
  while (out.ends_with('_')) out.pop_back();
  return out;
}

Json parameters_of(const Route& route) {
  Json out = Json::array();
  for (size_t at = route.pattern.find('{'); at != std::string::npos;
       at = route.pattern.find('{', at + 1)) {
    const size_t end = route.pattern.find('}', at);
    out.push_back({{"name", route.pattern.substr(at + 1, end - at - 1)},
                   {"in", "path"},
                   {"required", true},
                   {"schema", {{"type", "string"}}}});
  }
  for (const QueryParameter& parameter : route.query)
    out.push_back({{"name", parameter.name},
                   {"in", "query"},
                   {"required", false},
                   {"description", parameter.description},
                   {"schema", {{"type", parameter.type}}}});
  return out;
}

Json operation_of(const Route& route) {
  const Json problem = {{"description", "What went wrong, in the dialect's form."},
                        {"content", {{"application/json", {{"schema", {{"type", "object"}}}}}}}};
  Json operation = {{"operationId", operation_id(route)},
                    {"summary", route.summary},
                    {"responses", {{"2XX", {{"description", "Done."}}}, {"default", problem}}}};
  if (!route.tag.empty()) operation["tags"] = {route.tag};
  const Json parameters = parameters_of(route);
  if (!parameters.empty()) operation["parameters"] = parameters;
  if (route.max_body > 0) {
    std::vector<std::string> types = route.media_types;
    if (types.empty()) types = {"application/json"};
    for (const std::string& type : types)
      operation["requestBody"]["content"][type]["schema"] =
          route.body_schema.is_null() ? Json{{"type", "object"}} : route.body_schema;
  }
  if (route.scope == Scope::kOpen)
    operation["security"] = Json::array();
  else
    operation["x-scope"] = to_string(route.scope);
  return operation;
}

}  // namespace

Json openapi_document(const Router& router, std::string_view version) {
  Json paths = Json::object();
  for (const Route& route : router.routes())
    if (!route.hidden) paths[route.pattern][lower(route.method)] = operation_of(route);
  return {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Tintype"},
        {"version", version},
        {"description", "Jobs that draw pictures; docs/server.md says what each member means."}}},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes",
         {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
          {"key", {{"type", "apiKey"}, {"in", "header"}, {"name", "X-API-Key"}}}}}}},
      // One of the two; neither where the server asks for no keys.
      {"security", Json::array({Json{{"bearer", Json::array()}}, Json{{"key", Json::array()}},
                                Json::object()})}};
}

}  // namespace tintype::http
