/// Numbers about jobs: histograms as Prometheus counts, and the pace of jobs that estimates of
/// waiting times come from. No threads: the runtime calls under its lock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "serving/job_runtime.h"

namespace tintype {

/// Bounds from a millisecond to an hour: a no-op and a large picture on a small machine.
Histogram make_duration_histogram();
void observe(Histogram& histogram, double seconds);

/// Seconds a unit of work takes, by model, the latest jobs counting most.
class Pace {
 public:
  void observe(const std::string& model, double work, double seconds);
  /// Of this model, else of the others; unset before the first job.
  std::optional<double> seconds(const std::string& model, double work) const;

 private:
  std::map<std::string, double> by_model_;
  std::optional<double> overall_;
};

/// Durations of stages by name. A worker may send any name, so only so many are kept apart.
class StageTimes {
 public:
  void observe(std::string_view stage, double seconds);
  const std::map<std::string, Histogram, std::less<>>& by_name() const { return by_name_; }

 private:
  std::map<std::string, Histogram, std::less<>> by_name_;
};

}  // namespace tintype
