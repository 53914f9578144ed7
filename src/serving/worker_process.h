/// A worker that is a child process, so that what kills it (no memory, a fault in a driver) costs
/// one step of its jobs and never the server. It is started again when it dies. The child's end is
/// WorkerChannel. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serving/worker.h"

namespace tintype {

struct WorkerProcessOptions {
  std::string name;  ///< "cpu0"
  std::string device = "cpu";
  /// Program and arguments; a program without a slash is looked for in PATH.
  std::vector<std::string> command;
  int capacity = 1;  ///< jobs at once
  int nice = 5;      ///< computing yields to the server's answers
  std::vector<std::pair<std::string, std::string>> env = {};  ///< beside the server's own
  /// Pause before a dead one is started again: doubles from the first to the last, and begins anew
  /// after a life of `healthy_after`.
  std::chrono::milliseconds first_pause{200}, last_pause{30'000}, healthy_after{60'000};
  /// How long a cancelled job may go on, beside its longest step, before its worker is killed.
  std::chrono::milliseconds cancel_limit{60'000};
  /// How long it may take to end by itself on stop().
  std::chrono::milliseconds stop_limit{2000};
  /// Lines that it writes to its standard output and error, and news of its life; made safe to
  /// print.
  std::function<void(std::string_view line)> log = {};
};

class WorkerProcess : public Worker {
 public:
  /// throws kInvalidArgument: options; kNotFound: there is no such program
  explicit WorkerProcess(WorkerProcessOptions options);
  ~WorkerProcess() override;

  void start(WorkerEvents events) override;
  WorkerStatus status() const override;
  void run(Assignment assignment) override;
  void cancel(const JobId& id) override;
  void stop() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tintype
