/// Parts without a socket: targets, router, parser, gate, streams, traces, assets.
#include <gtest/gtest.h>

#include "http/event_stream.h"
#include "http/gate.h"
#include "http/page_assets.h"
#include "http/request_parser.h"
#include "http/router.h"
#include "http/target.h"
#include "http/trace.h"

namespace tintype::http {
namespace {

TEST(Target, IsDecodedOrRefused) {
  const auto target = parse_target("/a%20b/c?x=1+2&y=%2F&&z");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/a b/c");
  EXPECT_EQ(target->query, (Fields{{"x", "1 2"}, {"y", "/"}, {"z", ""}}));
  EXPECT_EQ(parse_target("http://host/x")->path, "/x");
  for (const char* bad : {"", "x", "*", "/%", "/%0", "/%gg", "/%00", "/a/../b", "/a/%2e%2e/b", "/.",
                          "/a%2fb", "/\xff", "/a%0ab", "/x?a=%", "/x?%00=1", "/\x01"})
    EXPECT_FALSE(parse_target(bad)) << bad;
  std::string many = "/x?";
  for (int i = 0; i < 200; ++i) many += "a&";
  EXPECT_FALSE(parse_target(many));
}

Route route_of(std::string method, std::string pattern) {
  return {.method = std::move(method),
          .pattern = std::move(pattern),
          .handler = sync([](const Request&) { return empty_response(); })};
}

TEST(RouterTable, LiteralsWinOverParameters) {
  Router router;
  router.add(route_of("GET", "/v1/jobs/{id}"));
  router.add(route_of("GET", "/v1/jobs/all"));
  router.add(route_of("POST", "/v1/jobs/{id}"));
  EXPECT_EQ(router.find("GET", "/v1/jobs/all").route->pattern, "/v1/jobs/all");
  const Router::Match match = router.find("GET", "/v1/jobs/7");
  EXPECT_EQ(match.params, (Fields{{"id", "7"}}));
  EXPECT_TRUE(router.find("HEAD", "/v1/jobs/7").route);
  const Router::Match wrong = router.find("DELETE", "/v1/jobs/7");
  EXPECT_FALSE(wrong.route);
  EXPECT_EQ(wrong.allowed, (std::vector<std::string>{"GET", "HEAD", "POST"}));
  EXPECT_TRUE(router.find("GET", "/v1/jobs/").allowed.empty());
  EXPECT_TRUE(router.find("GET", "/v1/jobs/7/8").allowed.empty());
  EXPECT_THROW(router.add(route_of("GET", "/v1/jobs/all")), Error);
  EXPECT_THROW(router.add(route_of("GET", "/a{b}")), Error);
  EXPECT_THROW(router.add(route_of("GET", "x")), Error);
}

TEST(Parser, TakesBytesOneByOne) {
  const std::string text =
      "POST /x HTTP/1.1\r\nHost: a\r\nX-Name: V\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n0\r\nTrailer: x\r\n\r\nGET /next";
  RequestParser parser;
  std::string pending;
  size_t used = 0;
  for (const char c : text) {
    pending += c;
    const size_t taken = parser.put(pending);
    pending.erase(0, taken);
    used += taken;
    if (parser.state() == RequestParser::State::kBody && parser.body_bytes() == 0)
      parser.allow_body(100);
    if (parser.state() == RequestParser::State::kDone) break;
  }
  ASSERT_EQ(parser.state(), RequestParser::State::kDone);
  EXPECT_EQ(parser.head().method, "POST");
  EXPECT_EQ(*parser.head().header("x-name"), "V");
  EXPECT_EQ(parser.take_body(), "abc");
  EXPECT_EQ(text.substr(used), "GET /next");
}

TEST(Parser, TakesAnEmptyChunkedBodyByteByByte) {
  const std::string text =
      "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  RequestParser parser;
  std::string pending;
  for (const char c : text) {
    pending += c;
    pending.erase(0, parser.put(pending));
    if (parser.state() == RequestParser::State::kBody) parser.allow_body(100);
  }
  EXPECT_EQ(parser.state(), RequestParser::State::kDone);
  EXPECT_EQ(parser.take_body(), "");
  EXPECT_TRUE(pending.empty());
}

RequestHead head_of(std::string method, Fields headers) {
  RequestHead head;
  head.method = std::move(method);
  head.headers = std::move(headers);
  return head;
}

TEST(Gate, HostsOfServersWithoutKeysMustBeOurs) {
  const GatePolicy policy{.hosts = {"studio.lan"}, .cors_origins = {}};
  for (const char* good :
       {"localhost", "LOCALHOST:7860", "127.0.0.1:1", "[::1]:7860", "studio.lan", "x.localhost"})
    EXPECT_FALSE(check_host(head_of("GET", {{"host", good}}), policy, false)) << good;
  for (const char* bad :
       {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "a b", "[::2]"})
    EXPECT_TRUE(check_host(head_of("GET", {{"host", bad}}), policy, false)) << bad;
  EXPECT_FALSE(check_host(head_of("GET", {{"host", "any.example"}}), policy, true));
  EXPECT_EQ(check_host(head_of("GET", {}), policy, true)->status, 400);
}

TEST(Gate, PagesOfOtherOriginsMayNotChangeAnything) {
  const GatePolicy none, open{.hosts = {}, .cors_origins = {"https://good.example"}};
  const auto post = [](Fields extra) {
    Fields headers = {{"host", "localhost:7860"}};
    headers.insert(headers.end(), extra.begin(), extra.end());
    return head_of("POST", headers);
  };
  EXPECT_FALSE(check_origin(post({}), none));
  EXPECT_FALSE(check_origin(post({{"origin", "http://localhost:7860"}}), none));
  EXPECT_TRUE(check_origin(post({{"origin", "http://localhost:1"}}), none));
  EXPECT_TRUE(check_origin(post({{"origin", "null"}}), none));
  EXPECT_TRUE(check_origin(post({{"sec-fetch-site", "cross-site"}}), none));
  EXPECT_TRUE(check_origin(post({{"origin", "https://good.example"}}), none));
  EXPECT_FALSE(check_origin(post({{"origin", "https://good.example"}}), open));
  const Fields cors = cors_headers(post({{"origin", "https://good.example"}}), open);
  EXPECT_EQ(cors[1], (std::pair<std::string, std::string>("access-control-allow-origin",
                                                          "https://good.example")));
  EXPECT_EQ(cors_headers(post({{"origin", "https://evil.example"}}), open).size(), 1u);
}

TEST(Gate, FindsTheKey) {
  EXPECT_EQ(presented_key(head_of("GET", {{"authorization", "Bearer  k1"}})), "k1");
  EXPECT_EQ(presented_key(head_of("GET", {{"x-api-key", "k2"}})), "k2");
  EXPECT_EQ(presented_key(head_of("GET", {{"authorization", "Basic dXNlcjprMw=="}})), "k3");
  EXPECT_EQ(presented_key(head_of("GET", {{"authorization", "Basic !"}})), "");
  EXPECT_EQ(presented_key(head_of("GET", {{"authorization", "Bearer"}})), "");
}

TEST(Events, AreWrittenAsTheStandardSays) {
  EXPECT_EQ(*make_event("job", "7", "a\nb"), "event: job\nid: 7\ndata: a\ndata: b\n\n");
  EXPECT_EQ(*make_event("", "", "x"), "data: x\n\n");
}

TEST(Events, SlowReadersGetTheLatestOfEachSlot) {
  EventStream stream;
  int wakes = 0;
  stream.attach([&] { ++wakes; });
  EXPECT_TRUE(stream.take(1000).events.empty());
  for (int i = 0; i < 100; ++i) {
    stream.send_latest("a", make_event("", "", "a" + std::to_string(i)));
    stream.send_latest("b", make_event("", "", "b" + std::to_string(i)));
  }
  EXPECT_EQ(wakes, 1);
  const EventStream::Taken taken = stream.take(1000);
  ASSERT_EQ(taken.events.size(), 2u);
  EXPECT_EQ(*taken.events[0], "data: a99\n\n");
  EXPECT_EQ(*taken.events[1], "data: b99\n\n");
  for (size_t i = 0; i <= EventStream::kMaxPending; ++i) stream.send(make_event("", "", "x"));
  EXPECT_TRUE(stream.take(1).overflowed);
}

TEST(Events, CloseTellsOnceAndLetsGo) {
  EventStream stream;
  int gone = 0;
  const auto kept = std::make_shared<int>(1);
  stream.keep(kept);
  stream.on_close([&] { ++gone; });
  EXPECT_EQ(kept.use_count(), 2);
  stream.close();
  stream.close();
  stream.on_close([&] { ++gone; });
  EXPECT_EQ(gone, 2);
  EXPECT_EQ(kept.use_count(), 1);
}

TEST(Traces, GoOnFromTheCaller) {
  const std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const Trace trace = make_trace(parent);
  EXPECT_EQ(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_NE(trace.span_id, "b7ad6b7169203331");
  EXPECT_EQ(trace.header().size(), 55u);
  for (const char* bad : {"", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                          "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                          "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"})
    EXPECT_NE(make_trace(bad).trace_id, "0af7651916cd43dd8448eb211c80319c") << bad;
  EXPECT_NE(make_trace("").trace_id, make_trace("").trace_id);
}

TEST(Page, IsInTheProgram) {
  bool index = false;
  for (const PageAsset& asset : page_assets()) {
    EXPECT_FALSE(asset.bytes.empty()) << asset.name;
    EXPECT_NE(asset_media_type(asset.name), "application/octet-stream") << asset.name;
    index = index || asset.name == "index.html";
  }
  EXPECT_TRUE(index);
}

}  // namespace
}  // namespace tintype::http
