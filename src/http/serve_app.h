/// The whole server, put together from its configuration: catalogue, job runtime, dialects,
/// listener. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/config.h"
#include "http/log.h"
#include "http/router.h"
#include "serving/job_runtime.h"

namespace tintype::http {

/// LogFormat and level of the configuration, on stderr.
std::unique_ptr<Log> make_log(const ServeConfig& config);

class ServeApp {
 public:
  /// Listens when it returns. `options` change what the configuration leaves to defaults.
  /// throws as Catalogue, JobRuntime, ApiKeys, HttpServer
  ServeApp(const ServeConfig& config, const Catalogue& catalogue,
           std::vector<std::unique_ptr<Worker>> workers, Log& log);
  ServeApp(const ServeConfig& config, const ServerOptions& options, const Catalogue& catalogue,
           std::vector<std::unique_ptr<Worker>> workers, Log& log);
  ~ServeApp();

  std::string url() const;
  JobRuntime& runtime();
  const Router& router() const;

  /// Readiness goes false and no job is taken any more; running ones end or are saved within the
  /// configured time; then connections end. Answers go on until then.
  void drain();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tintype::http
