#include "serving/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "base/text.h"
#include "serving/worker_channel.h"

extern char** environ;

namespace tintype {
namespace {

constexpr int kSocketFd = 3, kReportFd = 4, kFirstOtherFd = 5;

[[noreturn]] void fail_io(std::string_view what) {
  fail(ErrorKind::kIo, "worker process", what, ": ", std::strerror(errno));
}

/// The server's variables, with `env` over them.
std::vector<std::string> environment(const std::vector<std::pair<std::string, std::string>>& env) {
  std::vector<std::string> out;
  const auto is_set = [&](std::string_view variable) {
    const std::string_view name = variable.substr(0, variable.find('='));
    for (const auto& [key, value] : env) {
      if (key == name) return true;
    }
    return name == kWorkerFdVariable;
  };
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!is_set(*variable)) out.emplace_back(*variable);
  }
  for (const auto& [key, value] : env) out.push_back(key + "=" + value);
  out.push_back(cat(kWorkerFdVariable, "=", kSocketFd));
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

struct ChildSide {
  int socket, output, report, null_input, nice;
  pid_t server;
};

void close_others() {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, kFirstOtherFd, ~0U, 0) == 0) return;
#endif
  for (int fd = kFirstOtherFd; fd < 65'536; ++fd) ::close(fd);
}

/// Between fork and exec: only calls that are safe after a signal.
[[noreturn]] void become(const ChildSide& side, char* const* argv, char* const* envp) {
  const auto give_up = [&](int report) {
    const int problem = errno;
    (void)!::write(report, &problem, sizeof(problem));
    ::_exit(127);
  };
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != side.server) ::_exit(127);  // it died before that took hold
  ::setpgid(0, 0);  // a terminal's Ctrl-C is for the server, which drains
  // Away from the low numbers first, so that none is overwritten before it is moved.
  const int socket = ::fcntl(side.socket, F_DUPFD, 64), output = ::fcntl(side.output, F_DUPFD, 64);
  const int report = ::fcntl(side.report, F_DUPFD, 64);
  const int input = ::fcntl(side.null_input, F_DUPFD, 64);
  if (socket < 0 || output < 0 || report < 0 || input < 0) give_up(side.report);
  if (::dup2(input, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(output, 2) < 0 ||
      ::dup2(socket, kSocketFd) < 0 || ::dup2(report, kReportFd) < 0) {
    give_up(report);
  }
  close_others();
  ::fcntl(kReportFd, F_SETFD, FD_CLOEXEC);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  (void)!::nice(side.nice);
  // Where memory runs out the system shall take the worker, never the server.
  const int oom = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (oom >= 0) {
    (void)!::write(oom, "500", 3);
    ::close(oom);
  }
  ::execve(argv[0], argv, envp);
  give_up(kReportFd);
  ::_exit(127);
}

void set_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

std::pair<Descriptor, Descriptor> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail_io("cannot make a pipe");
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  reset();
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

void Descriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::string find_program(const std::string& name) {
  std::error_code ignored;
  if (name.find('/') != std::string::npos) {
    const auto path = std::filesystem::absolute(name, ignored);
    if (::access(path.c_str(), X_OK) == 0) return path.string();
  } else if (!name.empty()) {
    const char* list = std::getenv("PATH");
    std::string_view rest = list != nullptr ? list : "";
    while (!rest.empty()) {
      const size_t end = std::min(rest.find(':'), rest.size());
      const auto path = std::filesystem::path(rest.substr(0, end)) / name;
      if (::access(path.c_str(), X_OK) == 0)
        return std::filesystem::absolute(path, ignored).string();
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  fail(ErrorKind::kNotFound, "worker process", "there is no program \"", printable(name), "\"");
}

ChildProcess start_child(const std::vector<std::string>& command,
                         const std::vector<std::pair<std::string, std::string>>& env, int nice) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    fail_io("cannot make a socket");
  }
  const Descriptor theirs(sockets[1]);
  ChildProcess child;
  child.socket = Descriptor(sockets[0]);
  // Room for a few pictures in flight, so that neither end waits for the other.
  const int room = 1 << 20;
  for (const int fd : sockets) ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
  auto [output, output_end] = make_pipe();
  auto [report, report_end] = make_pipe();
  const Descriptor null_input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (null_input.get() < 0) fail_io("cannot open /dev/null");
  std::vector<std::string> arguments = command, variables = environment(env);
  const std::vector<char*> argv = pointers(arguments), envp = pointers(variables);
  const ChildSide side{theirs.get(), output_end.get(), report_end.get(), null_input.get(),
                       nice,         ::getpid()};
  child.pid = ::fork();
  if (child.pid < 0) fail_io("cannot start a process");
  if (child.pid == 0) become(side, argv.data(), envp.data());
  report_end.reset();
  int problem = 0;
  ssize_t got;
  do {
    got = ::read(report.get(), &problem, sizeof(problem));
  } while (got < 0 && errno == EINTR);
  if (got == sizeof(problem)) {
    ::waitpid(child.pid, nullptr, 0);
    errno = problem;
    fail_io(cat("cannot execute \"", printable(command[0]), "\""));
  }
  set_nonblocking(child.socket.get());
  set_nonblocking(output.get());
  child.output = std::move(output);
  return child;
}

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    if (number == SIGKILL) return "was killed by signal 9 (out of memory?)";
    const char* name = ::sigabbrev_np(number);
    return cat("was killed by signal ", number, name != nullptr ? cat(" (SIG", name, ")") : "");
  }
  return cat("ended with code ", WEXITSTATUS(status));
}

}  // namespace tintype
