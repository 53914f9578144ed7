#include "base/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "image/test_folder.h"
#include "tintype/error.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

std::span<const uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// The kind and message of what `call` throws; fails the test when it throws nothing.
template <typename Call>
std::pair<ErrorKind, std::string> error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  ADD_FAILURE() << "no error was thrown";
  return {ErrorKind::kInternal, ""};
}

/// Runs `body` in a child process, as an ordinary user where the test runs as the superuser (who
/// may write anywhere). Exit status of the child.
template <typename Body>
int in_child_as_nobody(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(99);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

TEST(AtomicFile, WritesANewFileAndNothingElse) {
  const TestFolder folder;
  write_file_atomically(folder / "a.bin", as_bytes("hello"));
  EXPECT_EQ(read_file(folder / "a.bin"), "hello");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.bin"});
}

TEST(AtomicFile, ReplacesAnExistingFileAndKeepsItsMode) {
  const TestFolder folder;
  write_file(folder / "a.bin", "a longer old text");
  ::chmod((folder / "a.bin").c_str(), 0640);
  write_file_atomically(folder / "a.bin", as_bytes("new"));
  EXPECT_EQ(read_file(folder / "a.bin"), "new");
  struct stat status {};
  ::stat((folder / "a.bin").c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST(AtomicFile, ReplacesTheTargetOfALink) {
  const TestFolder folder;
  write_file(folder / "store/real.bin", "old");
  fs::create_symlink("store/real.bin", folder / "link.bin");
  write_file_atomically(folder / "link.bin", as_bytes("new"));
  EXPECT_TRUE(fs::is_symlink(folder / "link.bin"));
  EXPECT_EQ(read_file(folder / "store/real.bin"), "new");
}

TEST(AtomicFile, TakesNamesAsLongAsTheFileSystemDoes) {
  const TestFolder folder;
  const std::string name(255, 'n');
  write_file_atomically(folder / name, as_bytes("x"));
  EXPECT_EQ(folder.names(), std::vector<std::string>{name});
  const auto [kind, message] = error_of([&] { require_replaceable(folder / (name + "n")); });
  EXPECT_EQ(kind, ErrorKind::kIo);
}

TEST(AtomicFile, RefusesWhatCannotBecomeAFileBeforeWriting) {
  const TestFolder folder;
  write_file(folder / "file", "old");
  fs::create_directory(folder / "folder");
  ::mkfifo((folder / "pipe").c_str(), 0600);
  const std::vector<std::pair<fs::path, std::string>> cases = {
      {folder / "missing/a.png", "must be an existing folder"},
      {folder / "file/a.png", "folder"},
      {folder / "folder", "must name a file"},
      {folder / "new/", "existing folder"},
      {folder / "pipe", "regular file"},
      {"/dev/null", "regular file"},
  };
  for (const auto& [path, expected] : cases) {
    for (const bool write : {false, true}) {
      const auto [kind, message] = error_of([&, &target = path] {
        write ? write_file_atomically(target, as_bytes("x")) : require_replaceable(target);
      });
      EXPECT_EQ(kind, ErrorKind::kIo) << path;
      EXPECT_NE(message.find(expected), std::string::npos) << path << ": " << message;
    }
  }
  EXPECT_EQ(error_of([] { require_replaceable(""); }).first, ErrorKind::kInvalidArgument);
  EXPECT_EQ(read_file(folder / "file"), "old");
  EXPECT_EQ(folder.names().size(), 3u);
}

TEST(AtomicFile, PiecesAppearTogetherOrNotAtAll) {
  const TestFolder folder;
  write_file(folder / "a.bin", "old");
  const auto pieces = [&](bool commit) {
    ReplacedFile file(folder / "a.bin");
    file.write(std::as_bytes(as_bytes("__cd")));
    file.write(std::as_bytes(as_bytes("ef")));
    file.overwrite(0, std::as_bytes(as_bytes("ab")));
    EXPECT_EQ(file.size(), 6u);
    EXPECT_EQ(read_file(folder / "a.bin"), "old");
    if (commit) file.commit();
  };
  pieces(false);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.bin"});
  EXPECT_EQ(read_file(folder / "a.bin"), "old");
  pieces(true);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.bin"});
  EXPECT_EQ(read_file(folder / "a.bin"), "abcdef");
}

TEST(AtomicFile, CheckingCreatesNothing) {
  const TestFolder folder;
  require_replaceable(folder / "a.png");
  EXPECT_TRUE(folder.names().empty());
}

TEST(AtomicFile, RefusesAFolderAndAFileWithoutPermission) {
  const TestFolder folder;
  ::chmod(folder.path().c_str(), 0755);
  write_file(folder / "closed/old.bin", "old");
  ::chmod((folder / "closed").c_str(), 0555);
  write_file(folder / "open/old.bin", "old");
  ::chmod((folder / "open").c_str(), 0777);
  ::chmod((folder / "open/old.bin").c_str(), 0444);
  for (const auto& path : {folder / "closed/new.bin", folder / "open/old.bin"}) {
    EXPECT_EQ(in_child_as_nobody([&] {
                try {
                  require_replaceable(path);
                } catch (const Error& error) {
                  return error.kind() == ErrorKind::kIo ? 0 : 2;
                }
                return 1;
              }),
              0)
        << path;
  }
  ::chmod((folder / "closed").c_str(), 0755);
}

TEST(AtomicFile, AFailedWriteLeavesTheOldFileAndNoTemporary) {
  const TestFolder folder;
  ::chmod(folder.path().c_str(), 0777);
  write_file(folder / "a.bin", "old");
  ::chmod((folder / "a.bin").c_str(), 0666);
  // A file size limit stands in for a full disk: the write comes to an end in the middle.
  EXPECT_EQ(in_child_as_nobody([&] {
              std::signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{1000, 1000};
              ::setrlimit(RLIMIT_FSIZE, &limit);
              try {
                write_file_atomically(folder / "a.bin", as_bytes(std::string(5000, 'x')));
              } catch (const Error& error) {
                return error.kind() == ErrorKind::kIo ? 0 : 2;
              }
              return 1;
            }),
            0);
  EXPECT_EQ(read_file(folder / "a.bin"), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.bin"});
}

}  // namespace
}  // namespace tintype
