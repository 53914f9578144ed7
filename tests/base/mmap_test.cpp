#include "base/mmap.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>

#include "base/expect_error.h"
#include "base/temporary_folder.h"

namespace tintype {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

/// Resident bytes of the map that starts at `address`, as the kernel counts them for this process.
size_t resident_kb(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  while (std::getline(maps, line)) {
    const size_t dash = line.find('-');
    if (dash != std::string::npos && dash < line.find(' ')) {
      inside =
          std::stoull(line.substr(0, dash), nullptr, 16) == reinterpret_cast<uintptr_t>(address);
    } else if (inside && line.starts_with("Rss:")) {
      return std::stoull(line.substr(4));
    }
  }
  ADD_FAILURE() << "map not found";
  return 0;
}

TEST(MappedFile, HoldsTheWholeFile) {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("f", "hello"));
  EXPECT_EQ(text_of(file), "hello");
  file.require_unchanged();
}

TEST(MappedFile, MovesKeepTheMap) {
  const TemporaryFolder folder;
  MappedFile first(folder.write("f", "first"));
  MappedFile second(folder.write("g", "second!"));
  MappedFile moved(std::move(first));
  EXPECT_EQ(text_of(moved), "first");
  moved = std::move(second);
  EXPECT_EQ(text_of(moved), "second!");
  moved.require_unchanged();
}

TEST(MappedFile, RefusesWhatCannotBeMapped) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::kNotFound, {"absent", "No such file"},
               [&] { MappedFile(folder.path() / "absent"); });
  expect_error(ErrorKind::kCorruptFile, {"must hold data", "empty"},
               [&] { MappedFile(folder.write("empty", "")); });
  expect_error(ErrorKind::kCorruptFile, {"regular file", "a folder"},
               [&] { MappedFile(folder.path()); });
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error(ErrorKind::kCorruptFile, {"regular file", "a pipe"}, [&] { MappedFile{pipe}; });
}

TEST(MappedFile, UnreadableFileIsAnIoError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  const TemporaryFolder folder;
  const auto file = folder.write("secret", "x");
  std::filesystem::permissions(file, std::filesystem::perms::none);
  expect_error(ErrorKind::kIo, {"secret", "Permission denied"}, [&] { MappedFile{file}; });
}

TEST(MappedFile, SymlinkLoopIsAnIoError) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("loop", folder.path() / "loop");
  expect_error(ErrorKind::kIo, {"loop", "symbolic links"},
               [&] { MappedFile(folder.path() / "loop"); });
}

TEST(MappedFile, NoticesTruncation) {
  const TemporaryFolder folder;
  const auto path = folder.write("f", "hello");
  const MappedFile file(path);
  std::filesystem::resize_file(path, 2);
  expect_error(ErrorKind::kIo, {"must stay 5 bytes", "got 2"}, [&] { file.require_unchanged(); });
}

TEST(MappedFile, ReleaseGivesWholePagesBackAndLosesNothing) {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  std::string content(256 * page + 10, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 >> 3);
  const TemporaryFolder folder;
  const MappedFile file(folder.write("f", content));
  EXPECT_EQ(text_of(file), content);
  const size_t all_kb = resident_kb(file.bytes().data());
  EXPECT_GE(all_kb * 1024, content.size());

  // Inner pages only: the first and last of this range are shared with neighbours.
  file.release(file.bytes().subspan(1, 255 * page));
  EXPECT_EQ(resident_kb(file.bytes().data()) * 1024, all_kb * 1024 - 254 * page);
  EXPECT_EQ(text_of(file), content);

  file.release(file.bytes());
  EXPECT_EQ(resident_kb(file.bytes().data()), 0u);
  EXPECT_EQ(text_of(file), content);
}

TEST(MappedFile, ReleaseIgnoresForeignRanges) {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("f", "hello"));
  file.release({});
  file.release(std::as_bytes(std::span("elsewhere")));
  file.release({file.bytes().data(), file.bytes().size() + 1});
  file.release(file.bytes().subspan(5));
  EXPECT_EQ(text_of(file), "hello");
}

}  // namespace
}  // namespace tintype
