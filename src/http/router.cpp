#include "http/router.h"

#include <algorithm>

#include "base/check.h"

namespace tintype::http {
namespace {

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> out;
  for (size_t begin = 1; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    out.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

bool is_parameter(const std::string& segment) { return segment.starts_with('{'); }

/// Of two matching patterns the one that is literal at the first segment where they differ.
bool more_literal(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (is_parameter(a[i]) != is_parameter(b[i])) return is_parameter(b[i]);
  return false;
}

}  // namespace

Handler sync(SyncHandler handler) {
  return [handler = std::move(handler)](const SharedRequest& request, const Reply& reply) {
    reply.send(handler(*request));
  };
}

void Router::add(Route route) {
  std::vector<std::string> segments = split(route.pattern);
  bool well_formed = route.pattern.starts_with('/') && route.handler && !route.method.empty();
  for (const std::string& segment : segments)
    if (segment.find_first_of("{}") != std::string::npos)
      well_formed = well_formed && segment.size() > 2 && segment.front() == '{' &&
                    segment.find_first_of("{}", 1) == segment.size() - 1;
  if (!well_formed)
    fail(ErrorKind::kInternal, "router", "malformed route ", route.method, " ", route.pattern);
  for (const Route& other : routes_)
    if (other.method == route.method && other.pattern == route.pattern)
      fail(ErrorKind::kInternal, "router", "two routes ", route.method, " ", route.pattern);
  routes_.push_back(std::move(route));
  parsed_.push_back({std::move(segments)});
}

void Router::set_error_body(std::string prefix, ErrorBody body) {
  error_bodies_.emplace_back(std::move(prefix), body);
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  const std::vector<std::string> segments = split(path);
  const std::vector<std::string>* best = nullptr;
  for (size_t i = 0; i < routes_.size(); ++i) {
    const std::vector<std::string>& pattern = parsed_[i].segments;
    if (pattern.size() != segments.size()) continue;
    const bool fits = std::equal(pattern.begin(), pattern.end(), segments.begin(),
                                 [](const std::string& want, const std::string& got) {
                                   return is_parameter(want) ? !got.empty() : want == got;
                                 });
    if (!fits) continue;
    const std::string& offered = routes_[i].method;
    if (std::find(match.allowed.begin(), match.allowed.end(), offered) == match.allowed.end()) {
      match.allowed.push_back(offered);
      if (offered == "GET") match.allowed.push_back("HEAD");
    }
    if (offered != (method == "HEAD" ? "GET" : method)) continue;
    if (best && !more_literal(pattern, *best)) continue;
    best = &pattern;
    match.route = &routes_[i];
  }
  if (best)
    for (size_t i = 0; i < segments.size(); ++i)
      if (is_parameter((*best)[i]))
        match.params.emplace_back((*best)[i].substr(1, (*best)[i].size() - 2), segments[i]);
  return match;
}

ErrorBody Router::error_body(std::string_view path) const {
  size_t longest = 0;
  ErrorBody body = native_error;
  for (const auto& [prefix, form] : error_bodies_) {
    if (!path.starts_with(prefix) || prefix.size() < longest) continue;
    longest = prefix.size();
    body = form;
  }
  return body;
}

}  // namespace tintype::http
