#include "http/http_server.h"

#include <openssl/ssl.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "base/check.h"
#include "base/text.h"
#include "http/connection.h"

namespace tintype::http {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

/// How often deadlines are looked at: timeouts are that much late at worst.
constexpr std::chrono::milliseconds kTick{250};

asio::ip::address parse_address(const std::string& text) {
  error_code error;
  const auto address = asio::ip::make_address(text == "localhost" ? "127.0.0.1" : text, error);
  TT_REQUIRE(!error, "address", "must be a numeric address or localhost, got \"", printable(text),
             "\"");
  return address;
}

/// Connections are descriptors: as many as the system lets this process have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void require_readable(const std::filesystem::path& file, const char* flag) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error))
    fail(ErrorKind::kNotFound, flag, "must be a PEM file, got \"", file.string(), "\"");
}

std::unique_ptr<asio::ssl::context> make_tls(const ServerOptions& options) {
  if (options.tls_certificate.empty() && options.tls_key.empty()) return nullptr;
  TT_REQUIRE(!options.tls_certificate.empty() && !options.tls_key.empty(), "tls",
             "needs both a certificate and a key, got one");
  require_readable(options.tls_certificate, "tls_cert");
  require_readable(options.tls_key, "tls_key");
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                       asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                       asio::ssl::context::no_tlsv1_1 | asio::ssl::context::single_dh_use);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  // Renegotiation makes the server work for the client's asking.
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
  error_code error;
  context->use_certificate_chain_file(options.tls_certificate.string(), error);
  if (error)
    fail(ErrorKind::kCorruptFile, "tls_cert",
         "must be a certificate chain in PEM: ", error.message());
  context->use_private_key_file(options.tls_key.string(), asio::ssl::context::pem, error);
  if (error)
    fail(ErrorKind::kCorruptFile, "tls_key",
         "must be the certificate's private key in PEM: ", error.message());
  return context;
}

}  // namespace

bool is_loopback(const std::string& address) { return parse_address(address).is_loopback(); }

struct HttpServer::Impl {
  std::shared_ptr<ServerCore> core;
  tcp::acceptor acceptor;
  asio::steady_timer clock;
  std::vector<std::thread> threads;
  tcp::endpoint local;
  bool stopped = false;

  explicit Impl(std::shared_ptr<ServerCore> shared)
      : core(std::move(shared)), acceptor(core->io), clock(core->io) {}

  void bind() {
    const ServerOptions& options = core->options;
    const tcp::endpoint endpoint(parse_address(options.address), options.port);
    error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error)
      fail(ErrorKind::kIo, "listen", "must be able to listen on ", options.address, " port ",
           options.port, ": ", error.message(),
           error == asio::error::address_in_use ? "; another server may run there" : "");
    local = acceptor.local_endpoint();
  }

  void start() {
    asio::co_spawn(core->io, accept(), asio::detached);
    asio::co_spawn(core->io, keep_time(), asio::detached);
    for (int i = 0; i < core->options.io_threads; ++i)
      threads.emplace_back([core = core] { core->io.run(); });
  }

  asio::awaitable<void> accept() {
    while (acceptor.is_open()) {
      error_code error;
      tcp::socket socket = core->options.io_threads > 1 ? tcp::socket(asio::make_strand(core->io))
                                                        : tcp::socket(core->io);
      co_await acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) break;
      if (error) {
        // Most likely no descriptor is free: connections that end give some back.
        asio::steady_timer pause(core->io, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      take(std::move(socket));
    }
  }

  void take(tcp::socket socket) {
    HttpMetrics& metrics = core->dispatcher.metrics();
    error_code error;
    const tcp::endpoint peer = socket.remote_endpoint(error);
    if (error) return;
    socket.set_option(tcp::no_delay(true), error);
    socket.set_option(asio::socket_base::keep_alive(true), error);
    const std::string address = peer.address().to_string();
    ++metrics.accepted;
    const int native = socket.native_handle();
    const auto connection = core->tls ? make_tls_connection(core, std::move(socket), address)
                                      : make_tcp_connection(core, std::move(socket), address);
    if (core->enter(connection, address)) return connection->start();
    ++metrics.refused;
    static constexpr std::string_view kFull =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\n"
        "connection: close\r\n\r\n";
    if (!core->tls) ::send(native, kFull.data(), kFull.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  asio::awaitable<void> keep_time() {
    while (!core->stopping || core->connection_count() > 0) {
      error_code ignored;
      clock.expires_after(kTick);
      co_await clock.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      const int64_t now = now_ms();
      for (const auto& connection : core->connections()) connection->tick(now);
    }
  }

  void stop(std::chrono::milliseconds grace) {
    if (std::exchange(stopped, true)) return;
    core->stopping = true;
    asio::post(core->io, [this] {
      error_code ignored;
      acceptor.close(ignored);
    });
    const auto until = std::chrono::steady_clock::now() + grace;
    for (const auto& connection : core->connections()) connection->stop(false);
    while (core->connection_count() > 0 && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    for (const auto& connection : core->connections()) connection->stop(true);
    core->pool->join();
    for (std::thread& thread : threads) thread.join();
  }
};

HttpServer::HttpServer(const ServerOptions& options, Dispatcher& dispatcher) {
  TT_REQUIRE(options.io_threads >= 1 && options.io_threads <= 64, "io_threads",
             "must be 1..64, got ", options.io_threads);
  TT_REQUIRE(options.worker_threads >= 1 && options.worker_threads <= 64, "worker_threads",
             "must be 1..64, got ", options.worker_threads);
  raise_descriptor_limit();
  auto core = std::make_shared<ServerCore>(options, dispatcher);
  core->tls = make_tls(options);
  impl_ = std::make_unique<Impl>(core);
  impl_->bind();
  core->pool = std::make_unique<asio::thread_pool>(static_cast<size_t>(options.worker_threads));
  impl_->start();
}

HttpServer::~HttpServer() { impl_->stop(std::chrono::milliseconds(0)); }

uint16_t HttpServer::port() const { return impl_->local.port(); }

std::string HttpServer::url() const {
  const auto address = impl_->local.address();
  const std::string host = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
  return cat(impl_->core->tls ? "https://" : "http://", host, ":", impl_->local.port());
}

void HttpServer::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

}  // namespace tintype::http
