/// Threads for what neither the server's thread nor the runtime's callbacks may wait for: reading
/// results from disk, encoding them. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tintype::http {

class TaskQueue {
 public:
  explicit TaskQueue(int threads = 2);
  ~TaskQueue();  ///< stops

  /// Runs what waits and ends the threads; what is posted later is dropped.
  void stop();

  /// Behind what waits. Tasks must not throw.
  void post(std::function<void()> task);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tintype::http
