/// From a request's head to its handler: everything that is decided without a socket. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "http/api_keys.h"
#include "http/gate.h"
#include "http/http_metrics.h"
#include "http/log.h"
#include "http/message.h"
#include "http/request_parser.h"
#include "http/router.h"
#include "http/trace.h"

namespace tintype::http {

struct DispatcherOptions {
  GatePolicy gate;
  bool access_log = true;  ///< a line for each request; probes and the page's files aside
};

class Dispatcher {
 public:
  /// Borrows all; they must outlive it.
  Dispatcher(const Router& router, ApiKeys& keys, Log& log, HttpMetrics& metrics,
             DispatcherOptions options);

  /// A request whose head was read.
  struct Admission {
    std::shared_ptr<Request> request;
    const Route* route = nullptr;    ///< null: `answer` is there
    std::optional<Response> answer;  ///< refused, or answered without a handler
    Trace trace;
    Fields cors;
    bool is_head = false;
  };
  Admission admit(const RequestHead& head, const std::string& remote, bool secure) const;

  /// Runs the route's handler; what it throws becomes an answer.
  void handle(const Admission& admission, const Reply& reply) const;

  /// Headers that every answer has.
  void complete(const Admission& admission, Response& response) const;

  /// Counts and logs; once for each answer, `seconds` since the head was there.
  void account(const Admission& admission, int status, double seconds, size_t bytes) const;

  /// While true, routes that submit answer 503.
  void set_draining(bool draining) { draining_ = draining; }
  bool draining() const { return draining_; }

  ErrorBody error_body(const Admission& admission) const;
  HttpMetrics& metrics() const { return *metrics_; }
  Log& log() const { return *log_; }

 private:
  std::optional<Problem> refuse(const RequestHead& head, Admission& admission) const;

  const Router* router_;
  ApiKeys* keys_;
  Log* log_;
  HttpMetrics* metrics_;
  DispatcherOptions options_;
  std::atomic<bool> draining_{false};
};

}  // namespace tintype::http
