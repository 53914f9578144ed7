/// Where a whole job stands, from what its stages report one after the other. Single-thread.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "requests/canonical_request.h"
#include "serving/job.h"
#include "tintype/run_context.h"

namespace tintype {

class JobProgressMap {
 public:
  using Clock = std::chrono::steady_clock;

  /// `loads`: whether a model must be loaded first.
  JobProgressMap(const JobRequest& request, bool loads);

  /// The next report. Its fraction never falls.
  JobProgress at(const Progress& report, Clock::time_point now);
  /// Reports of the next picture of the job follow.
  void next_picture();

 private:
  /// A stretch of the job that one stage reports, with its part of the job's time, guessed.
  struct Phase {
    Stage stage;
    double weight;
  };
  void add_picture(const JobRequest& request);
  void advance_to(const Progress& report);
  void update_pace(double fraction, Clock::time_point now);

  std::vector<Phase> phases_;
  std::vector<size_t> picture_starts_;  ///< in phases_
  size_t picture_ = 0, phase_ = 0;
  int step_ = 0;
  double before_ = 0, total_ = 0;  ///< weights
  double fraction_ = 0;
  std::optional<Clock::time_point> last_time_;
  double last_fraction_ = 0;
  std::optional<double> seconds_per_job_;  ///< by the pace of late
};

}  // namespace tintype
