/// What goes when: results by time and by disk budget, jobs by number and age. For one thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

#include "serving/job_store.h"

namespace tintype {

class Retention {
 public:
  struct Limits {
    std::chrono::seconds ttl;
    uint64_t budget_bytes;
    size_t max_finished;
  };
  /// `gone` is told of every job whose results or whole record are being deleted.
  Retention(JobStore& store, const Limits& limits, std::function<void(const JobId&)> gone);

  /// A job became final with so many bytes of blobs on disk.
  void added(uint64_t stored_bytes);
  /// One was removed by its owner.
  void removed(uint64_t stored_bytes);
  /// Deletes what is due. Blobs first, the oldest first. throws as the store's reads
  void sweep(WallClock::time_point now);

  uint64_t stored_bytes() const { return stored_bytes_; }
  bool over_budget() const { return stored_bytes_ > limits_.budget_bytes; }

 private:
  void drop_blobs(WallClock::time_point now);
  void remove_old(WallClock::time_point now);

  JobStore& store_;
  const Limits limits_;
  std::function<void(const JobId&)> gone_;
  WallClock::time_point next_look_{};
  std::atomic<uint64_t> stored_bytes_{0};
  std::atomic<size_t> final_jobs_{0};
};

}  // namespace tintype
