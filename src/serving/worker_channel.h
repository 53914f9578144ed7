/// A worker process' end of its socket: assignments and cancellations come in, everything that is
/// told of jobs goes out. The other end is WorkerProcess. The senders are thread-safe; serve() is
/// for one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serving/worker.h"

namespace tintype {

/// Where WorkerProcess says which descriptor is the socket.
inline constexpr const char* kWorkerFdVariable = "TINTYPE_WORKER_FD";

class WorkerChannel {
 public:
  /// The descriptor in TINTYPE_WORKER_FD, which is then removed from the environment.
  /// throws kInvalidArgument: the variable is missing or names no open socket
  static int fd_from_environment();

  /// Owns `fd` from here on and tells the other end that this worker is there and takes jobs: make
  /// it when the worker can take them.
  explicit WorkerChannel(int fd);
  ~WorkerChannel();
  WorkerChannel(const WorkerChannel&) = delete;
  WorkerChannel& operator=(const WorkerChannel&) = delete;

  struct Handlers {
    std::function<void(Assignment)> run;
    std::function<void(const JobId&)> cancel;
  };
  /// Reads until the other end is gone or says quit. Handlers run on this thread and must not
  /// block. throws kCorruptFile: a broken message; kIo: the socket
  void serve(const Handlers& handlers);

  /// Senders block while the socket is full. Once the other end is gone they do nothing: serve()
  /// returns and says so. After succeeded or failed nothing more may be sent of that job.
  void progress(const JobId& id, const JobProgress& progress);
  void preview(const JobId& id, int step, std::vector<SharedBlob> previews);
  void step_saved(const JobId& id, SharedBlob bytes);
  void succeeded(const JobId& id, JobResult result);
  void failed(const JobId& id, JobError error);
  /// Loaded models (the most recently used first), bytes of this process, counters by name. Send it
  /// when models change and now and then.
  void status(std::vector<std::string> models, uint64_t resident_bytes,
              std::vector<std::pair<std::string, double>> counters);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tintype
