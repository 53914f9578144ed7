#include "serving/job.h"

#include <array>

namespace tintype {
namespace {

constexpr std::array kStates = {JobState::kQueued, JobState::kRunning,   JobState::kSucceeded,
                                JobState::kFailed, JobState::kCancelled, JobState::kExpired};

}  // namespace

std::string_view to_string(JobState state) noexcept {
  switch (state) {
    case JobState::kQueued:
      return "queued";
    case JobState::kRunning:
      return "running";
    case JobState::kSucceeded:
      return "succeeded";
    case JobState::kFailed:
      return "failed";
    case JobState::kCancelled:
      return "cancelled";
    case JobState::kExpired:
      return "expired";
  }
  return "failed";
}

std::optional<JobState> parse_job_state(std::string_view text) noexcept {
  for (const JobState state : kStates) {
    if (to_string(state) == text) return state;
  }
  return {};
}

bool is_final(JobState state) noexcept {
  return state != JobState::kQueued && state != JobState::kRunning;
}

}  // namespace tintype
