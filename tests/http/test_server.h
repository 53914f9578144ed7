/// A listening server with routes of the test's own. Test code only.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/temporary_folder.h"
#include "http/api_keys.h"
#include "http/dispatcher.h"
#include "http/http_server.h"
#include "http/raw_client.h"

namespace tintype::http {

struct TestServer {
  explicit TestServer(const std::function<void(Router&)>& add_routes, ServerOptions options = {},
                      GatePolicy gate = {}, const std::filesystem::path& key_file = {})
      : keys(key_file), dispatcher(router, keys, log, metrics, {.gate = std::move(gate)}) {
    add_routes(router);
    options.port = 0;
    server = std::make_unique<HttpServer>(options, dispatcher);
  }

  RawClient client() const { return RawClient(server->port()); }

  std::FILE* null = std::fopen("/dev/null", "w");
  Log log{LogFormat::kText, LogLevel::kInfo, null};
  HttpMetrics metrics;
  Router router;
  ApiKeys keys;
  Dispatcher dispatcher;
  std::unique_ptr<HttpServer> server;
};

/// GET /hello, POST /echo (up to 1000 bytes).
inline void add_echo_routes(Router& router) {
  router.add({.method = "GET", .pattern = "/hello", .handler = sync([](const Request&) {
                                                      return text_response(200, "hello");
                                                    })});
  router.add(
      {.method = "POST",
       .pattern = "/echo",
       .handler = sync([](const Request& request) { return text_response(200, request.body); }),
       .scope = Scope::kSubmit,
       .max_body = 1000});
}

}  // namespace tintype::http
