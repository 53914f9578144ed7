#include "http/message.h"

#include <algorithm>

#include "base/check.h"

namespace tintype::http {
namespace {

const std::string* find(const Fields& fields, std::string_view name) {
  for (const auto& [key, value] : fields)
    if (key == name) return &value;
  return nullptr;
}

}  // namespace

std::string_view to_string(Scope scope) noexcept {
  switch (scope) {
    case Scope::kOpen:
      return "open";
    case Scope::kRead:
      return "read";
    case Scope::kSubmit:
      return "submit";
    case Scope::kMetrics:
      return "metrics";
    case Scope::kAdmin:
      return "admin";
  }
  return "admin";
}

const std::string* Request::header(std::string_view name) const { return find(headers, name); }

const std::string* Request::query_field(std::string_view name) const { return find(query, name); }

const std::string& Request::param(std::string_view name) const {
  const std::string* value = find(params, name);
  if (!value) fail(ErrorKind::kInternal, "route", route, " has no parameter ", name);
  return *value;
}

std::string Request::base_url() const { return (secure ? "https://" : "http://") + authority; }

std::string_view Response::text() const {
  if (const auto* own = std::get_if<std::string>(&body)) return *own;
  if (const auto* shared = std::get_if<SharedBytes>(&body)) return **shared;
  return {};
}

void Response::set(std::string_view name, std::string value) {
  for (auto& [key, old] : headers) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  headers.emplace_back(name, std::move(value));
}

const std::string* Response::header(std::string_view name) const { return find(headers, name); }

Response text_response(int status, std::string body, std::string_view media_type) {
  return {.status = status,
          .headers = {{"content-type", std::string(media_type)}},
          .body = std::move(body)};
}

Response json_response(int status, std::string body) {
  return text_response(status, std::move(body), "application/json");
}

Response bytes_response(std::string_view media_type, SharedBytes bytes) {
  return {.status = 200,
          .headers = {{"content-type", std::string(media_type)}},
          .body = std::move(bytes)};
}

Response empty_response(int status) { return {.status = status, .headers = {}, .body = ""}; }

Response stream_response(SharedStream stream) {
  return {.status = 200,
          .headers = {{"content-type", "text/event-stream; charset=utf-8"},
                      {"cache-control", "no-cache, no-transform"},
                      // Proxies that would hold events back know this one.
                      {"x-accel-buffering", "no"}},
          .body = std::move(stream)};
}

}  // namespace tintype::http
