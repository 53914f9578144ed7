#include "http/serve_app.h"

#include "http/api_keys.h"
#include "http/dispatcher.h"
#include "http/http_server.h"
#include "http/job_events.h"
#include "http/routes_a1111.h"
#include "http/routes_native.h"
#include "http/routes_openai.h"
#include "http/routes_system.h"
#include "http/task_queue.h"

namespace tintype::http {
namespace {

/// For answers under way when everything else is done.
constexpr std::chrono::milliseconds kCloseTime{2000};

ServerContext context_of(const ServeConfig& config, JobRuntime& runtime, const Catalogue& catalogue,
                         JobEvents& events) {
  ServerContext context;
  context.runtime = &runtime;
  context.catalogue = &catalogue;
  context.events = &events;
  context.limits = request_limits(config);
  context.preview_every = static_cast<int>(config.preview_every);
  context.preview_size_px = static_cast<int>(config.preview_size);
  context.max_body_bytes = static_cast<size_t>(config.max_body_bytes);
  return context;
}

DispatcherOptions dispatcher_options(const ServeConfig& config) {
  return {.gate = {.hosts = config.host_names, .cors_origins = config.cors},
          .access_log = config.access_log};
}

}  // namespace

std::unique_ptr<Log> make_log(const ServeConfig& config) {
  const LogLevel level = config.log_level == "debug"     ? LogLevel::kDebug
                         : config.log_level == "warning" ? LogLevel::kWarning
                         : config.log_level == "error"   ? LogLevel::kError
                                                         : LogLevel::kInfo;
  return std::make_unique<Log>(config.log_format == "json" ? LogFormat::kJson : LogFormat::kText,
                               level);
}

/// In the order in which they must be made, and go in the other: what answers goes first, what
/// answers are about last.
struct ServeApp::Impl {
  Impl(const ServeConfig& configured, const ServerOptions& options, const Catalogue& catalogue,
       std::vector<std::unique_ptr<Worker>> workers, Log& server_log)
      : config(configured),
        log(server_log),
        keys(config.keys),
        runtime(runtime_options(config), std::move(workers)),
        events(runtime),
        services{context_of(config, runtime, catalogue, events), tasks, log},
        dispatcher(router, keys, log, metrics, dispatcher_options(config)) {
    add_native_routes(router, services.context);
    services.cancel_on_disconnect = config.cancel_on_disconnect;
    if (config.openai) add_openai_routes(router, services);
    if (config.a1111) add_a1111_routes(router, services);
    add_probe_routes(router, runtime, metrics, [this] { return dispatcher.draining(); });
    add_page_routes(router);
    add_openapi_route(router);
    server = std::make_unique<HttpServer>(options, dispatcher);
  }
  /// Answers end before what they are made of. The runtime's last callbacks find a stopped queue.
  ~Impl() {
    server.reset();
    tasks.stop();
  }

  const ServeConfig config;
  Log& log;
  ApiKeys keys;
  TaskQueue tasks;
  JobRuntime runtime;
  JobEvents events;
  DialectServices services;
  HttpMetrics metrics;
  Router router;
  Dispatcher dispatcher;
  std::unique_ptr<HttpServer> server;
};

ServeApp::ServeApp(const ServeConfig& config, const Catalogue& catalogue,
                   std::vector<std::unique_ptr<Worker>> workers, Log& log)
    : ServeApp(config, server_options(config), catalogue, std::move(workers), log) {}

ServeApp::ServeApp(const ServeConfig& config, const ServerOptions& options,
                   const Catalogue& catalogue, std::vector<std::unique_ptr<Worker>> workers,
                   Log& log)
    : impl_(std::make_unique<Impl>(config, options, catalogue, std::move(workers), log)) {}

ServeApp::~ServeApp() {
  // Nothing may call back into what goes.
  impl_->services.closing = true;
  impl_->dispatcher.set_draining(true);
  impl_->runtime.drain(std::chrono::milliseconds(0));
  impl_->server.reset();
}

std::string ServeApp::url() const { return impl_->server->url(); }
JobRuntime& ServeApp::runtime() { return impl_->runtime; }
const Router& ServeApp::router() const { return impl_->router; }

void ServeApp::drain() {
  impl_->dispatcher.set_draining(true);
  impl_->log.info("draining", {{"seconds", impl_->config.drain_seconds}});
  impl_->runtime.drain(std::chrono::seconds(impl_->config.drain_seconds));
  impl_->services.closing = true;
  impl_->server->stop(kCloseTime);
  impl_->log.info("stopped");
}

}  // namespace tintype::http
