/// Keys: their file, and what each may do.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/expect_error.h"
#include "base/json.h"
#include "http/test_server.h"

namespace tintype::http {
namespace {

using tintype::testing::expect_error;
using tintype::testing::TemporaryFolder;

TEST(Keys, AreKeptAsHashesForTheOwnerAlone) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "keys.json";
  const std::string key = add_key(file, {.name = "alice"});
  EXPECT_EQ(key.size(), 3u + 64);
  const std::string text = read_text_file(file);
  EXPECT_EQ(text.find(key.substr(3)), std::string::npos);
  EXPECT_NE(text.find(sha256_hex(key)), std::string::npos);
  struct stat info {};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  ApiKeys keys(file);
  ASSERT_TRUE(keys.find(key));
  EXPECT_EQ(keys.find(key)->name, "alice");
  EXPECT_FALSE(keys.find(""));
  EXPECT_FALSE(keys.find(key + "x"));
  expect_error(ErrorKind::kInvalidArgument, {"alice"}, [&] { add_key(file, {.name = "alice"}); });
  expect_error(ErrorKind::kNotFound, {"did you mean alice"}, [&] { remove_key(file, "alise"); });
  remove_key(file, "alice");
  EXPECT_TRUE(read_keys(file).empty());
  expect_error(ErrorKind::kInvalidArgument, {"keys add"}, [&] { ApiKeys none(file); });
  folder.write("keys.json",
               "{\"keys\":[{\"id\":\"k\",\"name\":\"x\",\"sha256\":\"zz\",\"scopes\":[]}]}");
  expect_error(ErrorKind::kCorruptFile, {"64 hex"}, [&] { read_keys(file); });
}

TEST(Keys, AreAskedForAndLimited) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "keys.json";
  const std::string reader = add_key(file, {.name = "reader", .scopes = {Scope::kRead}});
  const std::string writer = add_key(file, {.name = "writer"});
  const std::string slow = add_key(file, {.name = "slow", .requests_per_second = 0.5});
  TestServer server(add_echo_routes, {}, {}, file);
  RawClient client = server.client();
  const RawResponse none = client.request("GET", "/hello");
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.kind(), "unauthorized");
  EXPECT_EQ(none.header("www-authenticate"), "Bearer");
  const auto with = [](const std::string& key) { return "Authorization: Bearer " + key + "\r\n"; };
  EXPECT_EQ(client.request("GET", "/hello", "", with("tt_wrong")).status, 401);
  EXPECT_EQ(client.request("GET", "/hello", "", with(reader)).status, 200);
  EXPECT_EQ(client.request("GET", "/hello", "", "X-API-Key: " + reader + "\r\n").status, 200);
  RawClient refused = server.client();
  const RawResponse forbidden = refused.request("POST", "/echo", "x", with(reader));
  EXPECT_EQ(forbidden.status, 403);
  EXPECT_EQ(forbidden.kind(), "forbidden");
  EXPECT_EQ(server.client().request("POST", "/echo", "x", with(writer)).status, 200);
  // Ten seconds' worth at once, then no more.
  int passed = 0;
  RawResponse last;
  for (int i = 0; i < 20; ++i) {
    last = client.request("GET", "/hello", "", with(slow));
    passed += last.status == 200;
  }
  EXPECT_EQ(passed, 5);
  EXPECT_EQ(last.status, 429);
  EXPECT_FALSE(last.header("retry-after").empty());
}

}  // namespace
}  // namespace tintype::http
