/// What is kept on disk of a job: one row. Plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/job.h"

namespace tintype {

struct JobRecord {
  /// Place in the order of submission; the key of the row and of its blobs.
  int64_t seq = 0;
  JobId id;
  JobState state = JobState::kQueued;
  uint64_t revision = 0;
  std::string request, model, owner, client_key;
  uint64_t fingerprint = 0;  ///< see JobSpec
  int priority = 0;
  double work = 1;
  size_t inputs = 0;
  WallClock::time_point created;
  std::optional<WallClock::time_point> started, finished, deadline, results_expire;
  int attempts = 0;  ///< runs begun
  int losses = 0;    ///< runs that ended with a worker's death
  /// What the caller asked for while it ran; a restarted server keeps to it.
  enum class Wish { kNone, kCancel, kRemove } wish = Wish::kNone;
  std::string worker;
  std::optional<JobError> error;
  std::vector<ResultInfo> results;
  std::string info;
  uint64_t stored_bytes = 0;  ///< of its inputs and results
};
using SharedRecord = std::shared_ptr<const JobRecord>;

/// The snapshot of a job of which nothing is known but its record.
JobSnapshot snapshot_of(const JobRecord& record);

/// Lists of results as one field. decode throws kCorruptFile
std::string encode_results(const std::vector<ResultInfo>& results);
std::vector<ResultInfo> decode_results(std::string_view bytes);

/// Times as the store keeps them, microseconds since 1970.
int64_t to_us(WallClock::time_point time);
std::optional<int64_t> to_us(const std::optional<WallClock::time_point>& time);
WallClock::time_point from_us(int64_t us);

/// What tells two submissions under one client key apart.
uint64_t fingerprint_of(const JobSpec& spec);

}  // namespace tintype
