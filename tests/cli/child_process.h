/// Runs the command line program in a child process and collects what it says. For tests.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace tintype {

struct RunOptions {
  std::filesystem::path folder;          ///< working folder of the child
  std::string stdout_path;               ///< "" collects stdout
  std::vector<std::string> environment;  ///< "NAME=value", added to this process's
};

struct RunResult {
  int code = -1;  ///< exit status; -signal when a signal ended it
  std::string out, err;
};

/// `tintype ARGUMENTS...` to its end.
RunResult run_cli(const std::vector<std::string>& arguments, const RunOptions& options);

/// `tintype ARGUMENTS...` whose stderr is a terminal. Kills the child when destroyed early.
class TerminalRun {
 public:
  TerminalRun(const std::vector<std::string>& arguments, const RunOptions& options);
  ~TerminalRun();
  TerminalRun(const TerminalRun&) = delete;
  TerminalRun& operator=(const TerminalRun&) = delete;

  /// Reads the terminal until `text` appeared. False when the child ended or time ran out.
  bool wait_for(const std::string& text, std::chrono::seconds limit);
  void send(int signal);
  /// Exit status as in RunResult, after reading the rest of the terminal.
  int wait();
  const std::string& screen() const { return screen_; }

 private:
  bool read_some(int timeout_ms);

  pid_t child_ = -1;
  int terminal_ = -1;
  std::string screen_;
};

}  // namespace tintype
