/// `tintype serve` as a child process with the demo model, for tests that kill it. Single-thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace tintype::testing {

class ServerProcess {
 public:
  /// Serves from `store` on `port`. The log goes to `log`, which is appended to.
  ServerProcess(std::filesystem::path store, int port, std::filesystem::path log,
                std::vector<std::string> more_arguments = {});
  ~ServerProcess() { kill(); }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  /// Waits until /readyz says so; false: the process ended, or a minute passed.
  bool wait_ready() const;
  /// kill -9, and waits until it is gone.
  void kill();
  /// SIGTERM; its exit code, or -1 where a signal ended it.
  int stop();
  /// Processes that it started.
  std::vector<pid_t> children() const;
  pid_t pid() const { return pid_; }

 private:
  int port_;
  pid_t pid_ = -1;
};

/// A port of the loopback address that nobody listens on now.
int free_port();

}  // namespace tintype::testing
