#include "http/routes_system.h"

#include <algorithm>

#include "http/api_keys.h"
#include "http/metrics.h"
#include "http/openapi.h"
#include "http/page_assets.h"
#include "tintype/engine.h"

namespace tintype::http {
namespace {

/// Nothing from elsewhere runs, loads or frames the page. Pictures come as data and blob URLs.
constexpr const char* kPagePolicy =
    "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'; object-src 'none'";

Response asset_response(std::string_view media_type, const SharedBytes& bytes,
                        const std::string& tag, const Request& request) {
  const std::string* known = request.header("if-none-match");
  Response response = known && known->find(tag) != std::string::npos
                          ? empty_response(304)
                          : bytes_response(media_type, bytes);
  response.set("etag", tag);
  response.set("cache-control", "no-cache");
  response.set("content-security-policy", kPagePolicy);
  response.set("x-frame-options", "DENY");
  return response;
}

}  // namespace

std::string_view asset_media_type(std::string_view name) {
  const std::string_view suffix = name.substr(std::min(name.rfind('.'), name.size()));
  if (suffix == ".html") return "text/html; charset=utf-8";
  if (suffix == ".js" || suffix == ".mjs") return "text/javascript; charset=utf-8";
  if (suffix == ".css") return "text/css; charset=utf-8";
  if (suffix == ".svg") return "image/svg+xml";
  if (suffix == ".png") return "image/png";
  if (suffix == ".ico") return "image/x-icon";
  if (suffix == ".json" || suffix == ".webmanifest") return "application/json";
  if (suffix == ".woff2") return "font/woff2";
  return "application/octet-stream";
}

void add_probe_routes(Router& router, const JobRuntime& runtime, const HttpMetrics& metrics,
                      std::function<bool()> draining) {
  router.add(
      {.method = "GET",
       .pattern = "/healthz",
       .handler = sync([](const Request&) { return json_response(200, "{\"status\":\"ok\"}"); }),
       .scope = Scope::kOpen,
       .summary = "200 while the server answers.",
       .tag = "probes"});
  router.add({.method = "GET",
              .pattern = "/readyz",
              .handler = sync([&runtime, draining](const Request&) {
                const bool is_draining = draining();
                if (!is_draining && runtime.ready())
                  return json_response(200, "{\"status\":\"ready\"}");
                return json_response(
                    503, is_draining ? "{\"status\":\"draining\"}" : "{\"status\":\"no worker\"}");
              }),
              .scope = Scope::kOpen,
              .summary = "200 while jobs are accepted and a worker lives, otherwise 503.",
              .tag = "probes"});
  router.add({.method = "GET",
              .pattern = "/metrics",
              .handler = sync([&runtime, &metrics, draining](const Request&) {
                return text_response(
                    200, prometheus_text(runtime.stats(), metrics, runtime.ready(), draining()),
                    "text/plain; version=0.0.4; charset=utf-8");
              }),
              .scope = Scope::kMetrics,
              .summary = "Counters in Prometheus' text format.",
              .tag = "probes"});
}

void add_openapi_route(Router& router) {
  const auto text = std::make_shared<std::string>();
  router.add(
      {.method = "GET",
       .pattern = "/openapi.json",
       .handler = sync([text](const Request&) { return bytes_response("application/json", text); }),
       .scope = Scope::kOpen,
       .summary = "This document.",
       .tag = "probes"});
  *text = openapi_document(router, version()).dump();
}

void add_page_routes(Router& router) {
  for (const PageAsset& asset : page_assets()) {
    const auto bytes = std::make_shared<const std::string>(asset.bytes);
    const std::string tag = "\"" + sha256_hex(asset.bytes).substr(0, 32) + "\"";
    const auto add = [&](std::string pattern) {
      router.add({.method = "GET",
                  .pattern = std::move(pattern),
                  .handler = sync([asset, bytes, tag](const Request& request) {
                    return asset_response(asset_media_type(asset.name), bytes, tag, request);
                  }),
                  .scope = Scope::kOpen,
                  .hidden = true});
    };
    add("/" + std::string(asset.name));
    if (asset.name == "index.html") add("/");
  }
}

}  // namespace tintype::http
