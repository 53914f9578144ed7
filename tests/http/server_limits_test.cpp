/// The listener against clients that are slow, greedy, rude or gone.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "http/test_server.h"

namespace tintype::http {
namespace {

using namespace std::chrono_literals;

ServerOptions impatient() {
  ServerOptions options;
  options.header_timeout = 300ms;
  options.idle_timeout = 600ms;
  options.body_idle_timeout = 300ms;
  options.write_timeout = 500ms;
  return options;
}

TEST(ServerLimits, AnswersAndKeepsTheConnection) {
  TestServer server(add_echo_routes);
  RawClient client = server.client();
  for (int i = 0; i < 3; ++i) {
    const RawResponse response = client.request("GET", "/hello");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "hello");
    EXPECT_EQ(response.header("x-content-type-options"), "nosniff");
    EXPECT_EQ(response.header("traceparent").size(), 55u);
  }
  EXPECT_EQ(client.request("POST", "/echo", "abc").body, "abc");
}

TEST(ServerLimits, PipelinedRequestsAreAnsweredInOrder) {
  TestServer server(add_echo_routes);
  RawClient client = server.client();
  const std::string one = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n";
  client.send(one + "a" + one + "b" + one + "c");
  EXPECT_EQ(client.read_response().body, "a");
  EXPECT_EQ(client.read_response().body, "b");
  EXPECT_EQ(client.read_response().body, "c");
}

TEST(ServerLimits, ChunkedBodiesAreReadAndBounded) {
  TestServer server(add_echo_routes);
  RawClient client = server.client();
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  client.send(head + "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "abcde");
  client.send(head);
  for (int i = 0; i < 3; ++i) client.send("190\r\n" + std::string(400, 'x') + "\r\n");
  EXPECT_EQ(client.read_response().status, 413);
  EXPECT_TRUE(client.at_end());
}

TEST(ServerLimits, OversizedBodiesAreRefusedBeforeTheyCome) {
  TestServer server(add_echo_routes);
  RawClient client = server.client();
  client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n");
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.kind(), "invalid_argument");
  EXPECT_EQ(response.header("connection"), "close");
  RawClient huge = server.client();
  huge.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551615\r\n\r\n");
  EXPECT_EQ(huge.read_response().status, 413);
  RawClient none = server.client();
  EXPECT_EQ(none.request("GET", "/hello", "a body where none belongs").status, 413);
}

TEST(ServerLimits, ContinueIsSaidBeforeTheBody) {
  TestServer server(add_echo_routes);
  RawClient client = server.client();
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: "
      "2\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hi");
  EXPECT_EQ(client.read_response().body, "hi");
}

TEST(ServerLimits, HeaderBombsAreRefused) {
  TestServer server(add_echo_routes);
  struct Case {
    std::string head;
    int status;
  };
  std::string many = "GET /hello HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 200; ++i) many += "a" + std::to_string(i) + ": b\r\n";
  const Case cases[] = {
      {"GET /hello HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(64 * 1024, 'x'), 431},
      {many + "\r\n", 431},
      {"GET /" + std::string(10'000, 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414},
      {"GET /" + std::string(40'000, 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 431},
      {"GET /hello HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n", 400},
      {"GET /hello HTTP/9.9\r\nHost: localhost\r\n\r\n", 505},
      {"nonsense\r\n\r\n", 400},
      {"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /a%2f..%2fb HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"BREW /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", 501},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: "
       "chunked\r\n\r\n",
       400},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
       400},
  };
  for (const Case& one : cases) {
    RawClient client = server.client();
    client.send(one.head);
    EXPECT_EQ(client.read_response().status, one.status) << one.head.substr(0, 100);
  }
  EXPECT_EQ(server.client().request("GET", "/hello").status, 200);
}

TEST(ServerLimits, SlowHeadsAreCutOff) {
  TestServer server(add_echo_routes, impatient());
  RawClient client = server.client();
  const auto begun = std::chrono::steady_clock::now();
  client.send("GET /hello HTTP/1.1\r\n");
  // A byte now and then does not buy more time.
  for (int i = 0; i < 100 && client.send("a"); ++i) {
    std::this_thread::sleep_for(20ms);
    if (server.metrics.timeouts > 0) break;
  }
  EXPECT_EQ(client.read_response().status, 408);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
}

TEST(ServerLimits, SilentConnectionsAndSlowBodiesAreClosed) {
  TestServer server(add_echo_routes, impatient());
  RawClient silent = server.client(), slow = server.client();
  slow.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc");
  EXPECT_TRUE(slow.at_end());
  EXPECT_TRUE(silent.at_end());
  EXPECT_GE(server.metrics.timeouts, 2u);
}

TEST(ServerLimits, HalfClosedClientsGetTheirAnswer) {
  TestServer server(add_echo_routes);
  RawClient client = server.client();
  client.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.shutdown_write();
  EXPECT_EQ(client.read_response().body, "hello");
  EXPECT_TRUE(client.at_end());
  RawClient cut = server.client();
  cut.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc");
  cut.shutdown_write();
  EXPECT_TRUE(cut.at_end());
}

TEST(ServerLimits, ConnectionsBeyondTheLimitAreTurnedAway) {
  ServerOptions options;
  options.max_connections = 4;
  TestServer server(add_echo_routes, options);
  std::vector<RawClient> held;
  for (int i = 0; i < 4; ++i) {
    held.push_back(server.client());
    EXPECT_EQ(held.back().request("GET", "/hello").status, 200);
  }
  EXPECT_EQ(server.client().read_response().status, 503);
  held.pop_back();
  for (int i = 0; i < 200 && server.metrics.connections > 3; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(server.client().request("GET", "/hello").status, 200);
  ServerOptions per_address;
  per_address.max_connections_per_address = 1;
  TestServer narrow(add_echo_routes, per_address);
  RawClient first = narrow.client();
  EXPECT_EQ(first.request("GET", "/hello").status, 200);
  EXPECT_EQ(narrow.client().read_response().status, 503);
}

TEST(ServerLimits, Http10IsAnsweredAndClosed) {
  TestServer server(add_echo_routes);
  RawClient client = server.client();
  client.send("GET /hello HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "hello");
  EXPECT_TRUE(client.at_end());
}

TEST(ServerLimits, HandlersMayAnswerLaterOrNever) {
  std::promise<Reply> later;
  std::atomic<int> gone{0};
  TestServer server([&](Router& router) {
    router.add(
        {.method = "GET",
         .pattern = "/later",
         .handler = [&](const SharedRequest&, const Reply& reply) { later.set_value(reply); }});
    router.add({.method = "GET",
                .pattern = "/never",
                .handler = [](const SharedRequest&, const Reply&) {}});
    router.add({.method = "GET",
                .pattern = "/waits",
                .handler = [&](const SharedRequest&, const Reply& reply) {
                  reply.on_close([&gone, reply] { ++gone; });
                }});
    router.add(
        {.method = "GET", .pattern = "/throws", .handler = sync([](const Request&) -> Response {
                                                  throw Error(ErrorKind::kOutOfMemory, "model",
                                                              "too large");
                                                })});
  });
  RawClient client = server.client();
  client.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  std::thread answer([&] {
    const Reply reply = later.get_future().get();
    std::this_thread::sleep_for(20ms);
    reply.send(text_response(200, "first"));
    reply.send(text_response(200, "second"));
  });
  EXPECT_EQ(client.read_response().body, "first");
  answer.join();
  EXPECT_EQ(client.request("GET", "/never").status, 500);
  EXPECT_EQ(client.request("GET", "/throws").status, 507);
  RawClient leaver = server.client();
  leaver.send("GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n");
  std::this_thread::sleep_for(50ms);
  leaver.close();
  for (int i = 0; i < 500 && gone == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(gone, 1);
  // A client that goes is no fault of the server's.
  const auto count_of = [&](const char* route, int status) {
    const auto requests = server.metrics.totals().requests;
    const auto found = requests.find({"GET", route, status});
    return found == requests.end() ? uint64_t{0} : found->second;
  };
  for (int i = 0; i < 500 && count_of("/waits", 499) == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(count_of("/waits", 499), 1u);
  EXPECT_EQ(count_of("/waits", 500), 0u);
  EXPECT_EQ(count_of("/never", 500), 1u);
}

TEST(ServerLimits, EveryErrorKindHasItsStatus) {
  const std::pair<ErrorKind, int> kinds[] = {
      {ErrorKind::kInvalidArgument, 400},  {ErrorKind::kNotFound, 404},
      {ErrorKind::kCorruptFile, 422},      {ErrorKind::kUnsupported, 422},
      {ErrorKind::kOutOfMemory, 507},      {ErrorKind::kIo, 500},
      {ErrorKind::kQueueFull, 429},        {ErrorKind::kCancelled, 499},
      {ErrorKind::kDeadlineExceeded, 504}, {ErrorKind::kInternal, 500}};
  std::atomic<ErrorKind> next{};
  TestServer server([&](Router& router) {
    router.add(
        {.method = "GET", .pattern = "/fail", .handler = sync([&](const Request&) -> Response {
                                                throw Error(next, "/secret/path",
                                                            "must not be told");
                                              })});
  });
  RawClient client = server.client();
  for (const auto& [kind, status] : kinds) {
    next = kind;
    const RawResponse response = client.request("GET", "/fail");
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(response.kind(), to_string(kind));
    if (status == 500) {
      EXPECT_EQ(response.body.find("secret"), std::string::npos);
    }
    if (status == 429) {
      EXPECT_FALSE(response.header("retry-after").empty());
    }
  }
}

TEST(ServerLimits, MethodsAreToldAndHeadHasNoBody) {
  TestServer server(add_echo_routes);
  RawClient client = server.client();
  const RawResponse head = client.request("HEAD", "/hello");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-length"), "5");
  const RawResponse wrong = client.request("DELETE", "/hello");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.kind(), "unsupported");
  EXPECT_EQ(wrong.header("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(client.request("OPTIONS", "/echo").header("allow"), "POST, OPTIONS");
  EXPECT_EQ(client.request("GET", "/nothing").status, 404);
}

TEST(ServerLimits, StopEndsStreamsAndIdleConnections) {
  const auto stream = std::make_shared<EventStream>();
  TestServer server([&](Router& router) {
    router.add({.method = "GET", .pattern = "/events", .handler = sync([&](const Request&) {
                                                         return stream_response(stream);
                                                       })});
  });
  RawClient idle = server.client(), listener = server.client();
  listener.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(listener.read_head().status, 200);
  const auto begun = std::chrono::steady_clock::now();
  server.server->stop(3s);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s);
  EXPECT_TRUE(stream->closed());
  EXPECT_EQ(listener.read_all(), "0\r\n\r\n");
  EXPECT_TRUE(idle.at_end());
}

}  // namespace
}  // namespace tintype::http
