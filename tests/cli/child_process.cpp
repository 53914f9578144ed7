#include "cli/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "image/test_folder.h"

namespace tintype {
namespace {

int status_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }

/// In the child: never returns. `out` and `err` become descriptors 1 and 2.
[[noreturn]] void become_cli(const std::vector<std::string>& arguments, const RunOptions& options,
                             int out, int err) {
  const int input = ::open("/dev/null", O_RDONLY);
  ::dup2(input, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  if (::chdir(options.folder.c_str()) != 0) ::_exit(126);
  for (const std::string& entry : options.environment) {
    const size_t equals = entry.find('=');
    ::setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
  }
  std::vector<char*> argv = {const_cast<char*>(TT_CLI)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(TT_CLI, argv.data());
  ::_exit(127);
}

int open_for_child(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) throw std::runtime_error("cannot open " + path.string());
  return fd;
}

}  // namespace

RunResult run_cli(const std::vector<std::string>& arguments, const RunOptions& options) {
  const TestFolder streams;
  const bool collect = options.stdout_path.empty();
  const int out =
      open_for_child(collect ? streams / "out" : std::filesystem::path(options.stdout_path));
  const int err = open_for_child(streams / "err");
  const pid_t child = ::fork();
  if (child == 0) become_cli(arguments, options, out, err);
  ::close(out);
  ::close(err);
  int status = 0;
  ::waitpid(child, &status, 0);
  return {status_code(status), read_file(streams / "out"), read_file(streams / "err")};
}

TerminalRun::TerminalRun(const std::vector<std::string>& arguments, const RunOptions& options) {
  int slave = -1;
  winsize size{};
  size.ws_col = 100;
  size.ws_row = 30;
  if (::openpty(&terminal_, &slave, nullptr, nullptr, &size) != 0)
    throw std::runtime_error("cannot open a terminal");
  ::fcntl(terminal_, F_SETFD, FD_CLOEXEC);
  child_ = ::fork();
  if (child_ == 0) become_cli(arguments, options, ::open("/dev/null", O_WRONLY), slave);
  ::close(slave);
}

TerminalRun::~TerminalRun() {
  if (child_ > 0) {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  if (terminal_ >= 0) ::close(terminal_);
}

bool TerminalRun::read_some(int timeout_ms) {
  pollfd ready{terminal_, POLLIN, 0};
  if (::poll(&ready, 1, timeout_ms) <= 0) return true;  // nothing yet
  char bytes[4096];
  const ssize_t count = ::read(terminal_, bytes, sizeof(bytes));
  if (count <= 0) return false;  // the child closed its side
  screen_.append(bytes, static_cast<size_t>(count));
  return true;
}

bool TerminalRun::wait_for(const std::string& text, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (screen_.find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() >= end || !read_some(100)) return false;
  }
  return true;
}

void TerminalRun::send(int signal) { ::kill(child_, signal); }

int TerminalRun::wait() {
  while (read_some(1000)) {
  }
  int status = 0;
  ::waitpid(child_, &status, 0);
  child_ = -1;
  return status_code(status);
}

}  // namespace tintype
