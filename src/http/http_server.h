/// The listener and its connections: HTTP/1.1 over TCP or TLS, each connection a coroutine, all on
/// one thread unless asked otherwise. Slow, silent, oversized and vanished clients cost a bounded
/// amount for a bounded time. Thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "http/dispatcher.h"
#include "http/request_parser.h"

namespace tintype::http {

struct ServerOptions {
  std::string address = "127.0.0.1";  ///< numeric, or "localhost"
  uint16_t port = 7860;               ///< 0: any that is free
  int io_threads = 1;
  int worker_threads = 2;  ///< for handlers that read disks or decode pictures

  size_t max_connections = 4096;
  size_t max_connections_per_address = 3000;
  uint64_t max_body_bytes_total = uint64_t{512} << 20;  ///< bodies being received, all together
  ParserLimits parser;

  std::chrono::milliseconds handshake_timeout{10'000};  ///< TLS
  std::chrono::milliseconds header_timeout{10'000};     ///< a head from its first byte to its last
  std::chrono::milliseconds idle_timeout{75'000};       ///< between requests
  std::chrono::milliseconds body_idle_timeout{20'000};  ///< between two reads of a body
  std::chrono::milliseconds write_timeout{30'000};      ///< beyond what the slowest pace takes
  uint64_t slowest_bytes_per_second = 16 * 1024;        ///< of bodies and answers
  std::chrono::milliseconds heartbeat{15'000};          ///< comment lines of event streams

  std::filesystem::path tls_certificate, tls_key;  ///< PEM; both or none
};

/// True of 127.0.0.0/8, ::1 and "localhost". throws kInvalidArgument: not an address
bool is_loopback(const std::string& address);

class HttpServer {
 public:
  /// Binds and begins to answer. `dispatcher` must outlive it.
  /// throws kIo: the address is in use or not this machine's; kInvalidArgument: options; kNotFound,
  /// kCorruptFile: certificate or key
  HttpServer(const ServerOptions& options, Dispatcher& dispatcher);
  ~HttpServer();  ///< as stop with no time left

  uint16_t port() const;
  std::string url() const;  ///< "http://127.0.0.1:7860"

  /// Takes no more connections, lets answers under way end within `grace`, ends event streams, and
  /// returns when the last connection is closed.
  void stop(std::chrono::milliseconds grace);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tintype::http
