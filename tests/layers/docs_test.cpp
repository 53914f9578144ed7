/// Documents that list things are held to the tree.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>
#include <sstream>

#include "image/test_folder.h"
#include "layers/layer_check.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

TEST(Docs, TheLayerTableListsExactlyTheLayersThereAre) {
  const std::string text = read_file(fs::path(TT_SOURCE_DIR) / "ARCHITECTURE.md");
  const std::regex row("^\\| `(src/[a-z0-9_/]+)` \\|");
  std::set<std::string> listed;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (!std::regex_search(line, match, row)) continue;
    EXPECT_TRUE(listed.insert(match[1]).second) << match[1] << " is listed twice";
  }
  const LayerReport report = check_layers(TT_SOURCE_DIR);
  EXPECT_EQ(listed, std::set<std::string>(report.folders.begin(), report.folders.end()));
}

TEST(Docs, FolderReadmesHaveAtMostTwentyLines) {
  for (const char* top : {"src", "apps", "examples", "include", "models", "tests", "cmake"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(TT_SOURCE_DIR) / top)) {
      if (entry.path().filename() != "README.md") continue;
      const std::string text = read_file(entry.path());
      EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 20) << entry.path();
    }
  }
}

TEST(Docs, FilesNamedInTheDocumentsExist) {
  for (const char* name : {"README.md", "ARCHITECTURE.md", "models/README.md",
                           "THIRD_PARTY_NOTICES.md", "docs/glossary.md"}) {
    const fs::path document = fs::path(TT_SOURCE_DIR) / name;
    const std::string text = read_file(document);
    EXPECT_FALSE(text.empty()) << name;
    const std::regex link(R"(\]\(([^)#:]+)\))");  // relative links only
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it)
      EXPECT_TRUE(fs::exists(document.parent_path() / (*it)[1].str()))
          << name << " links to " << (*it)[1];
  }
}

}  // namespace
}  // namespace tintype
