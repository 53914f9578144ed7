#include "cli/exit_code.h"

#include <gtest/gtest.h>

#include <set>

#include "image/test_folder.h"

namespace tintype::cli {
namespace {

TEST(ExitCode, EveryKindHasItsOwn) {
  std::set<int> codes;
  for (const ExitCodeRow& row : exit_code_table()) codes.insert(row.code);
  EXPECT_EQ(codes, (std::set<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130}));
  EXPECT_EQ(exit_code_table().size(), codes.size());
}

TEST(ExitCode, ReadmeListsEachWithTheSameMeaning) {
  const std::string readme = read_file(std::string(TT_SOURCE_DIR) + "/README.md");
  for (const ExitCodeRow& row : exit_code_table()) {
    const std::string line =
        "| " + std::to_string(row.code) + " | `" + row.name + "` | " + row.meaning + " |";
    EXPECT_NE(readme.find(line), std::string::npos) << "README.md lacks the row: " << line;
  }
}

}  // namespace
}  // namespace tintype::cli
