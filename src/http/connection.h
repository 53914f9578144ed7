/// One client's connection, and what all of them share. Internal to the server; includes Asio.
/// A connection's members belong to its executor; only what says so may be touched from elsewhere.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "http/dispatcher.h"
#include "http/http_server.h"

namespace tintype::http {

namespace asio = boost::asio;

/// Milliseconds of the steady clock.
inline int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class Connection;

/// Outlives every connection; each holds a reference.
struct ServerCore {
  ServerCore(const ServerOptions& server_options, Dispatcher& server_dispatcher)
      : options(server_options), dispatcher(server_dispatcher) {}

  const ServerOptions options;
  Dispatcher& dispatcher;
  asio::io_context io;
  std::unique_ptr<asio::thread_pool> pool;
  std::unique_ptr<asio::ssl::context> tls;
  std::atomic<bool> stopping{false};

  /// False: the server has as many as it takes, or as many of that address.
  bool enter(const std::shared_ptr<Connection>& connection, const std::string& address);
  void leave(const Connection* connection, const std::string& address);
  std::vector<std::shared_ptr<Connection>> connections() const;
  size_t connection_count() const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<const Connection*, std::weak_ptr<Connection>> connections_;
  std::map<std::string, size_t> by_address_;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerCore> core, std::string remote)
      : core_(std::move(core)), remote_(std::move(remote)) {}
  virtual ~Connection() = default;

  /// Serves it until it ends.
  virtual void start() = 0;
  /// From the server's clock, on any thread: looks at deadlines and heartbeats.
  void tick(int64_t now);
  /// From any thread: ends event streams, closes what is idle, lets an answer under way end; with
  /// `force` that, too, is cut off.
  void stop(bool force);

 protected:
  virtual asio::any_io_executor executor() = 0;
  /// The deadline passed: ends what the connection waits for.
  virtual void expire() = 0;
  virtual void wake() = 0;
  virtual void stop_now(bool force) = 0;

  std::shared_ptr<ServerCore> core_;
  const std::string remote_;
  std::atomic<int64_t> deadline_ms_{0};   ///< 0: none
  std::atomic<int64_t> heartbeat_ms_{0};  ///< 0: none
  std::atomic<bool> heartbeat_due_{false};
};

std::shared_ptr<Connection> make_tcp_connection(std::shared_ptr<ServerCore> core,
                                                asio::ip::tcp::socket socket, std::string remote);
std::shared_ptr<Connection> make_tls_connection(std::shared_ptr<ServerCore> core,
                                                asio::ip::tcp::socket socket, std::string remote);

}  // namespace tintype::http
