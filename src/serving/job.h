/// What a job is, seen from outside: what was asked, where it stands, what came of it. Plain
/// values. Requests and infos are opaque text to this layer; who writes and reads them is above it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/job_id.h"
#include "tintype/error.h"

namespace tintype {

using WallClock = std::chrono::system_clock;

enum class JobState { kQueued, kRunning, kSucceeded, kFailed, kCancelled, kExpired };

/// "queued", as stored and sent.
std::string_view to_string(JobState state) noexcept;
std::optional<JobState> parse_job_state(std::string_view text) noexcept;
/// Nothing happens any more: succeeded, failed, cancelled, expired.
bool is_final(JobState state) noexcept;

/// Bytes and what they are: "image/png".
struct Blob {
  std::string media_type;
  std::string bytes;
};
using SharedBlob = std::shared_ptr<const Blob>;

/// What a caller submits.
struct JobSpec {
  std::string request;             ///< handed to the worker as it is
  std::vector<SharedBlob> inputs;  ///< pictures that the request refers to by index
  std::string model;               ///< of the catalogue; workers that have it loaded are preferred
  std::string owner;               ///< id of the API key; "" where none are asked for
  /// The caller's own name for this submission, unique for each owner: the same again is the same
  /// job and not a second one. "": none.
  std::string client_key;
  /// What must be equal for the same client key to mean the same request; "" takes `request` and
  /// `inputs`. Set it where `request` holds what was drawn or filled in anew at each submission.
  std::string fingerprint;
  int priority = 0;  ///< -10..10, the higher first
  /// Where it is not done by then it expires, queued or running. Unset: never.
  std::optional<WallClock::time_point> deadline;
  /// What its run takes in units that compare jobs of one model (steps times pixels); estimates of
  /// waiting times come from it.
  double work = 1;
};

struct JobProgress {
  std::string stage;        ///< "load", "encode_prompt", "denoise", ...; "" before the first report
  int step = 0, steps = 0;  ///< of the stage
  double fraction = 0;      ///< of the whole job, 0..1, never falling
  /// Seconds left by the pace so far; unset until there is one.
  std::optional<double> seconds_left;
};

struct JobError {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;
};

/// One result's description; its bytes are fetched by index.
struct ResultInfo {
  std::string media_type;
  uint64_t bytes = 0;
  int width_px = 0, height_px = 0;
};

/// A job at one moment. Immutable once made, shared by everyone who looks.
struct JobSnapshot {
  JobId id;
  JobState state = JobState::kQueued;
  /// Grows with every change, also across restarts of the server: the id of its event.
  uint64_t revision = 0;
  std::string request, model, owner, client_key;
  int priority = 0;
  size_t inputs = 0;  ///< how many pictures came with it
  WallClock::time_point created;
  std::optional<WallClock::time_point> started, finished, deadline;
  /// When a finished job's results are deleted.
  std::optional<WallClock::time_point> results_expire;
  int attempts = 0;    ///< runs begun; above 1 when a worker died or the server was restarted
  std::string worker;  ///< "cpu0"; "" while queued
  /// Of queued jobs: how many run before it.
  int position = 0;
  /// Of queued jobs: seconds until it begins, by the pace of the jobs before. Unset: no pace yet.
  std::optional<double> seconds_to_start;
  JobProgress progress;
  int preview_step = 0;  ///< of the preview
  std::vector<SharedBlob>
      previews;                   ///< the latest, one for each picture of the batch; may be empty
  std::optional<JobError> error;  ///< of failed ones
  std::vector<ResultInfo> results;
  std::string info;  ///< of finished ones, by the worker: settings, seeds, timings
};
using SharedSnapshot = std::shared_ptr<const JobSnapshot>;

}  // namespace tintype
