// The table of members: docs/server.md and the schema are written from it.
#include "requests/members.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

namespace tintype {
namespace {

constexpr const char* kBegin = "<!-- members: written by requests_test -->\n";
constexpr const char* kEnd = "<!-- end of members -->\n";

TEST(Members, TheDocumentListsThem) {
  const auto file = std::filesystem::path(TT_SOURCE_DIR) / "docs" / "server.md";
  std::ifstream in(file);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  const size_t begin = text.find(kBegin), end = text.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const size_t from = begin + std::string(kBegin).size();
  const std::string written = text.substr(from, end - from);
  if (std::getenv("TT_UPDATE_DOCS")) {
    std::ofstream(file) << text.replace(from, end - from, members_markdown());
    return;
  }
  EXPECT_EQ(written, members_markdown()) << "run with TT_UPDATE_DOCS=1";
}

TEST(Members, NamesAreUniqueAndHaveMeanings) {
  std::set<std::string> names;
  for (const Member& member : request_members()) {
    EXPECT_TRUE(names.insert(member.name).second) << member.name;
    EXPECT_FALSE(member.meaning.empty()) << member.name;
    for (const Member& inner : member.members) EXPECT_FALSE(inner.meaning.empty()) << inner.name;
  }
}

TEST(Members, TheSchemaHasThemAllWithTheServersLimits) {
  const Json schema = request_schema({.max_steps = 33});
  EXPECT_EQ(schema["required"], Json::array({"type"}));
  EXPECT_EQ(schema["additionalProperties"], false);
  for (const Member& member : request_members())
    EXPECT_TRUE(schema["properties"].contains(member.name)) << member.name;
  EXPECT_EQ(schema["properties"]["steps"]["maximum"], 33);
  EXPECT_EQ(schema["properties"]["hires"]["properties"]["scale"]["default"], 2);
  EXPECT_EQ(schema["properties"]["adapters"]["items"]["required"], Json::array({"name"}));
}

}  // namespace
}  // namespace tintype
