#include "http/connection.h"

#include <sys/socket.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <type_traits>

#include "base/check.h"
#include "http/exchange.h"
#include "http/response_head.h"

namespace tintype::http {

bool ServerCore::enter(const std::shared_ptr<Connection>& connection, const std::string& address) {
  const std::lock_guard lock(mutex_);
  if (connections_.size() >= options.max_connections) return false;
  size_t& count = by_address_[address];
  if (count >= options.max_connections_per_address) return false;
  ++count;
  connections_.emplace(connection.get(), connection);
  ++dispatcher.metrics().connections;
  return true;
}

void ServerCore::leave(const Connection* connection, const std::string& address) {
  const std::lock_guard lock(mutex_);
  if (connections_.erase(connection) == 0) return;
  --dispatcher.metrics().connections;
  const auto count = by_address_.find(address);
  if (--count->second == 0) by_address_.erase(count);
}

std::vector<std::shared_ptr<Connection>> ServerCore::connections() const {
  std::vector<std::shared_ptr<Connection>> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, weak] : connections_)
    if (auto connection = weak.lock()) out.push_back(std::move(connection));
  return out;
}

size_t ServerCore::connection_count() const {
  const std::lock_guard lock(mutex_);
  return connections_.size();
}

void Connection::tick(int64_t now) {
  const int64_t deadline = deadline_ms_.load();
  const int64_t heartbeat = heartbeat_ms_.load();
  if (deadline != 0 && now >= deadline)
    asio::post(executor(), [self = shared_from_this()] {
      // It may have moved on since.
      const int64_t still = self->deadline_ms_.load();
      if (still != 0 && now_ms() >= still) self->expire();
    });
  if (heartbeat != 0 && now >= heartbeat && !heartbeat_due_.exchange(true))
    asio::post(executor(), [self = shared_from_this()] { self->wake(); });
}

void Connection::stop(bool force) {
  asio::post(executor(), [self = shared_from_this(), force] { self->stop_now(force); });
}

namespace {

using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr size_t kHeadChunk = 4 * 1024;
constexpr size_t kBodyChunk = 64 * 1024;
/// Handlers of larger bodies run on the pool.
constexpr size_t kLargeBody = 64 * 1024;
constexpr size_t kEventBatch = 256 * 1024;
constexpr size_t kMaxLinger = 512 * 1024;

/// Bytes of bodies under way, given back at the end of the scope.
class BodyBudget {
 public:
  explicit BodyBudget(ServerCore& core) : core_(core) {}
  ~BodyBudget() { core_.dispatcher.metrics().body_bytes -= static_cast<int64_t>(held_); }
  BodyBudget(const BodyBudget&) = delete;
  BodyBudget& operator=(const BodyBudget&) = delete;
  /// False: all bodies together would be too much.
  bool hold(size_t bytes) {
    auto& all = core_.dispatcher.metrics().body_bytes;
    all += static_cast<int64_t>(bytes) - static_cast<int64_t>(held_);
    held_ = bytes;
    return static_cast<uint64_t>(all.load()) <= core_.options.max_body_bytes_total;
  }

 private:
  ServerCore& core_;
  size_t held_ = 0;
};

template <class Stream>
class StreamConnection final : public Connection {
 public:
  static constexpr bool kIsTls = !std::is_same_v<Stream, tcp::socket>;

  template <class... Arguments>
  StreamConnection(std::shared_ptr<ServerCore> core, std::string remote, Arguments&&... arguments)
      : Connection(std::move(core), std::move(remote)),
        stream_(std::forward<Arguments>(arguments)...),
        signal_(stream_.get_executor(), Clock::time_point::max()) {}

  void start() override {
    asio::co_spawn(
        stream_.get_executor(), [self = this->self()] { return self->run(); }, asio::detached);
  }

 protected:
  asio::any_io_executor executor() override { return stream_.get_executor(); }

  void expire() override {
    ++core_->dispatcher.metrics().timeouts;
    error_code ignored;
    deadline_ms_ = 0;
    // A head that comes too slowly is still answered; everything else that is late is cut off.
    const bool may_answer = reading_head_ && !kIsTls && !timed_out_;
    timed_out_ = true;
    if (may_answer)
      socket().cancel(ignored);
    else
      socket().close(ignored);
    wake();
  }

  void wake() override { signal_.cancel(); }

  void stop_now(bool force) override {
    error_code ignored;
    stopping_ = true;
    if (force || idle_) socket().close(ignored);
    wake();
  }

 private:
  std::shared_ptr<StreamConnection> self() {
    return std::static_pointer_cast<StreamConnection>(shared_from_this());
  }
  tcp::socket& socket() {
    if constexpr (kIsTls)
      return stream_.next_layer();
    else
      return stream_;
  }
  auto token(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

  void set_deadline(std::chrono::milliseconds from_now) {
    deadline_ms_ = now_ms() + from_now.count();
  }
  void clear_deadline() { deadline_ms_ = 0; }
  /// `timeout`, and the time that so many bytes take at the slowest pace we bear.
  std::chrono::milliseconds allowance(std::chrono::milliseconds timeout, uint64_t bytes) const {
    return timeout +
           std::chrono::milliseconds(bytes * 1000 / core_->options.slowest_bytes_per_second);
  }

  /// Until somebody wakes it. Wakes come on this executor, so none is lost between a look at the
  /// state and this.
  asio::awaitable<void> wait() {
    error_code ignored;
    co_await signal_.async_wait(token(ignored));
  }

  /// Wakes from any thread, for as long as the connection lives.
  std::function<void()> waker() {
    return [weak = std::weak_ptr<StreamConnection>(self())] {
      if (const auto alive = weak.lock())
        asio::post(alive->stream_.get_executor(), [alive] { alive->wake(); });
    };
  }

  /// Reads ahead while the coroutine waits for something else: sees the client go, and keeps what
  /// it sends as the beginning of its next request. At most one such read is under way.
  void watch() {
    watching_ = true;
    ahead_.resize(kHeadChunk);
    stream_.async_read_some(asio::buffer(ahead_),
                            [self = self()](const error_code& error, size_t count) {
                              self->watching_ = false;
                              self->in_.append(self->ahead_, 0, count);
                              self->ahead_ = std::string();
                              if (error) self->eof_ = true;
                              self->wake();
                            });
  }

  asio::awaitable<bool> read_more(size_t count) {
    error_code error;
    const size_t before = in_.size();
    in_.resize(before + count);
    const size_t got =
        co_await stream_.async_read_some(asio::buffer(in_.data() + before, count), token(error));
    in_.resize(before + got);
    if (error) eof_ = true;
    co_return !error;
  }

  template <class Buffers>
  asio::awaitable<bool> write(const Buffers& buffers) {
    error_code error;
    set_deadline(allowance(core_->options.write_timeout, asio::buffer_size(buffers)));
    co_await asio::async_write(stream_, buffers, token(error));
    clear_deadline();
    co_return !error;
  }

  asio::awaitable<void> run() {
    const auto keep_alive = self();
    try {
      co_await serve();
    } catch (const std::exception& fault) {
      core_->dispatcher.log().error("connection", {{"message", std::string(fault.what())}});
    }
    error_code ignored;
    clear_deadline();
    heartbeat_ms_ = 0;
    socket().close(ignored);
    core_->leave(this, remote_);
  }

  asio::awaitable<void> serve() {
    if constexpr (kIsTls) {
      error_code error;
      set_deadline(core_->options.handshake_timeout);
      co_await stream_.async_handshake(asio::ssl::stream_base::server, token(error));
      clear_deadline();
      if (error) co_return;
    }
    for (;;) {
      RequestParser parser(core_->options.parser);
      if (!co_await read_head(parser)) co_return;
      if (!co_await answer(parser)) break;
      if (stopping_ || (eof_ && in_.empty())) break;
    }
    co_await linger();
  }

  /// False: nothing more comes, or it was refused.
  asio::awaitable<bool> read_head(RequestParser& parser) {
    set_deadline(core_->options.idle_timeout);
    idle_ = true;
    while (in_.empty() && !eof_ && !stopping_ && !core_->stopping) {
      if (!watching_) watch();
      co_await wait();
    }
    idle_ = false;
    if (in_.empty()) co_return false;
    set_deadline(core_->options.header_timeout);
    reading_head_ = true;
    bool complete = false;
    while (true) {
      in_.erase(0, parser.put(in_));
      complete = parser.state() != RequestParser::State::kHead;
      if (complete || eof_ || !co_await read_more(kHeadChunk)) break;
    }
    reading_head_ = false;
    clear_deadline();
    if (parser.state() == RequestParser::State::kBad) {
      co_await refuse(parser.problem());
      co_return false;
    }
    if (!complete && timed_out_ && !kIsTls) {
      const Problem late = problem(408, "[headers] must come faster");
      co_await refuse(late);
    }
    co_return complete;
  }

  /// An answer to what is no request: there is no route and nothing to log of it but its status.
  asio::awaitable<void> refuse(const Problem& problem) {
    ++core_->dispatcher.metrics().bad_requests;
    Response response = error_response(problem, native_error);
    Dispatcher::Admission nobody;
    core_->dispatcher.complete(nobody, response);
    const std::string_view body = response.text();
    const std::string head =
        response_head(response, {.content_length = body.size(), .keep_alive = false});
    const std::array buffers{asio::buffer(head), asio::buffer(body.data(), body.size())};
    co_await write(buffers);
    co_await linger();
  }

  /// One request whose head is there. False: the connection ends with it.
  asio::awaitable<bool> answer(RequestParser& parser) {
    const auto begun = Clock::now();
    const RequestHead& head = parser.head();
    Dispatcher::Admission admission = core_->dispatcher.admit(head, remote_, kIsTls);
    bool keep_alive = head.keep_alive;
    std::optional<Response> response = std::move(admission.answer);
    BodyBudget budget(*core_);
    if (head.has_body()) {
      if (!response) response = co_await read_body(parser, admission, budget);
      if (!response && parser.state() == RequestParser::State::kBody) co_return false;
      // What was not read cannot be told from the next request.
      if (parser.state() != RequestParser::State::kDone) keep_alive = false;
    }
    if (!response) response = co_await run_handler(admission);
    if (!response) co_return false;
    core_->dispatcher.complete(admission, *response);
    keep_alive = keep_alive && !stopping_ && !core_->stopping;
    size_t sent = 0;
    const int status = response->status;
    const bool is_stream = std::holds_alternative<SharedStream>(response->body);
    const auto account = [&] {
      const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
      core_->dispatcher.account(admission, status, seconds, sent);
    };
    // Streams are counted when they begin: their duration says nothing.
    if (is_stream) account();
    bool written = false;
    if (is_stream) {
      written = co_await write_stream(*response, head.http_1_0, keep_alive, admission.is_head);
    } else {
      written = co_await write_whole(*response, head.http_1_0, keep_alive, admission.is_head, sent);
      account();
    }
    co_return written&& keep_alive;
  }

  /// An answer where the body is refused.
  asio::awaitable<std::optional<Response>> read_body(RequestParser& parser,
                                                     const Dispatcher::Admission& admission,
                                                     BodyBudget& budget) {
    const auto refusal = [&](const Problem& problem) {
      return error_response(problem, core_->dispatcher.error_body(admission));
    };
    parser.allow_body(admission.route->max_body);
    if (parser.head().expects_continue && in_.empty()) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      const asio::const_buffer line = asio::buffer(kContinue.data(), kContinue.size());
      if (!co_await write(line)) co_return std::nullopt;
    }
    const int64_t begun = now_ms();
    const auto idle = core_->options.body_idle_timeout;
    for (;;) {
      in_.erase(0, parser.put(in_));
      if (parser.state() != RequestParser::State::kBody) break;
      if (!budget.hold(parser.body_bytes())) {
        Problem full = problem(503, "[body] must wait: too many large requests at once");
        full.retry_after_s = 2;
        co_return refusal(full);
      }
      deadline_ms_ =
          std::min(now_ms() + idle.count(), begun + allowance(idle, parser.body_bytes()).count());
      if (eof_ || !co_await read_more(kBodyChunk)) break;
    }
    clear_deadline();
    in_.shrink_to_fit();
    if (parser.state() == RequestParser::State::kBad) co_return refusal(parser.problem());
    admission.request->body = parser.take_body();
    co_return std::nullopt;
  }

  /// None: the server stops before the handler has answered.
  asio::awaitable<std::optional<Response>> run_handler(const Dispatcher::Admission& admission) {
    const auto exchange =
        std::make_shared<Exchange>(core_->dispatcher.error_body(admission), waker());
    if (admission.route->blocking || admission.request->body.size() > kLargeBody) {
      // Its own copy: this coroutine may end before the pool comes to it.
      asio::post(*core_->pool, [core = core_, admission, reply = exchange->reply()] {
        core->dispatcher.handle(admission, reply);
      });
    } else {
      core_->dispatcher.handle(admission, exchange->reply());
    }
    for (;;) {
      if (std::optional<Response> response = exchange->take()) co_return response;
      // A client that shut only its own direction may still want the answer: handlers hear that it
      // may be gone, and what they answer is sent.
      if (eof_) exchange->close();
      if (!eof_ && !watching_ && in_.empty()) watch();
      co_await wait();
      if (!socket().is_open()) {
        exchange->close();
        break;
      }
    }
    co_return std::nullopt;
  }

  asio::awaitable<bool> write_whole(const Response& response, bool http_1_0, bool keep_alive,
                                    bool is_head, size_t& sent) {
    const std::string_view body = response.text();
    const bool no_body = response.status == 204 || response.status == 304;
    Framing framing{.keep_alive = keep_alive, .http_1_0 = http_1_0};
    if (!no_body) framing.content_length = body.size();
    const std::string head = response_head(response, framing);
    sent = is_head || no_body ? 0 : body.size();
    const std::array buffers{asio::buffer(head), asio::buffer(body.data(), sent)};
    co_return co_await write(buffers);
  }

  asio::awaitable<bool> write_stream(const Response& response, bool http_1_0, bool& keep_alive,
                                     bool is_head) {
    const SharedStream stream = std::get<SharedStream>(response.body);
    struct Closer {
      EventStream& stream;
      std::atomic<int64_t>& count;
      ~Closer() {
        stream.close();
        --count;
      }
    };
    ++core_->dispatcher.metrics().event_streams;
    const Closer closer{*stream, core_->dispatcher.metrics().event_streams};
    if (http_1_0) keep_alive = false;
    const std::string head = response_head(
        response, {.chunked = !http_1_0, .keep_alive = keep_alive, .http_1_0 = http_1_0});
    const asio::const_buffer head_buffer = asio::buffer(head);
    if (!co_await write(head_buffer)) co_return false;
    if (is_head) co_return keep_alive;
    stream->attach(waker());
    const bool whole = co_await write_events(*stream, !http_1_0);
    heartbeat_ms_ = 0;
    co_return whole;
  }

  /// True: the stream was finished and all of it is written.
  asio::awaitable<bool> write_events(EventStream& stream, bool chunked) {
    static const SharedEvent kHeartbeat = std::make_shared<const std::string>(":\n\n");
    for (;;) {
      heartbeat_ms_ = now_ms() + core_->options.heartbeat.count();
      EventStream::Taken taken = stream.take(kEventBatch);
      if (taken.overflowed || !socket().is_open()) co_return false;
      if (heartbeat_due_.exchange(false) && taken.events.empty() && !taken.finished)
        taken.events.push_back(kHeartbeat);
      if (!taken.events.empty() || taken.finished) {
        if (!co_await write_batch(taken, chunked)) co_return false;
        if (taken.finished) co_return chunked;
        continue;
      }
      if (eof_ || stopping_ || core_->stopping) {
        // The stream ends here, not its job: a client that comes back goes on.
        taken.finished = true;
        if (!eof_) co_await write_batch(taken, chunked);
        co_return false;
      }
      if (!watching_ && in_.empty()) watch();
      co_await wait();
    }
  }

  asio::awaitable<bool> write_batch(const EventStream::Taken& taken, bool chunked) {
    std::vector<asio::const_buffer> buffers;
    size_t bytes = 0;
    for (const SharedEvent& event : taken.events) bytes += event->size();
    char size_line[24];
    const int length = std::snprintf(size_line, sizeof(size_line), "%zx\r\n", bytes);
    if (chunked && bytes > 0) buffers.emplace_back(size_line, static_cast<size_t>(length));
    for (const SharedEvent& event : taken.events)
      buffers.emplace_back(event->data(), event->size());
    if (chunked && bytes > 0) buffers.emplace_back("\r\n", 2);
    if (chunked && taken.finished) buffers.emplace_back("0\r\n\r\n", 5);
    if (buffers.empty()) co_return true;
    co_return co_await write(buffers);
  }

  /// Ends our direction and takes in what is still on its way: closing over unread bytes would
  /// reset the connection, and the client might lose the answer.
  asio::awaitable<void> linger() {
    error_code error;
    if (!socket().is_open() || timed_out_) co_return;
    set_deadline(std::chrono::seconds(2));
    if constexpr (kIsTls) {
      while (watching_ && socket().is_open()) {
        socket().cancel(error);
        co_await wait();
      }
      co_await stream_.async_shutdown(token(error));
    } else {
      socket().shutdown(tcp::socket::shutdown_send, error);
      for (size_t taken = 0; !eof_ && taken < kMaxLinger && socket().is_open();) {
        if (watching_) {
          co_await wait();
        } else {
          in_.clear();
          co_await read_more(kBodyChunk);
        }
        taken += in_.size();
        in_.clear();
      }
    }
    clear_deadline();
  }

  Stream stream_;
  asio::steady_timer signal_;
  std::string in_;     ///< read and not yet used
  std::string ahead_;  ///< of the read that watch() began
  bool watching_ = false, eof_ = false, timed_out_ = false, stopping_ = false;
  bool idle_ = false, reading_head_ = false;
};

}  // namespace

std::shared_ptr<Connection> make_tcp_connection(std::shared_ptr<ServerCore> core,
                                                tcp::socket socket, std::string remote) {
  return std::make_shared<StreamConnection<tcp::socket>>(std::move(core), std::move(remote),
                                                         std::move(socket));
}

std::shared_ptr<Connection> make_tls_connection(std::shared_ptr<ServerCore> core,
                                                tcp::socket socket, std::string remote) {
  asio::ssl::context& context = *core->tls;
  return std::make_shared<StreamConnection<asio::ssl::stream<tcp::socket>>>(
      std::move(core), std::move(remote), std::move(socket), context);
}

}  // namespace tintype::http
