#include "serving/statistics.h"

#include <algorithm>
#include <cmath>

namespace tintype {
namespace {

constexpr double kNewest = 0.3;  // weight of the newest job in the pace
constexpr size_t kMaxModels = 1000, kMaxStages = 32;

void follow(double& value, double newest) { value += kNewest * (newest - value); }

}  // namespace

Histogram make_duration_histogram() {
  Histogram histogram;
  histogram.bounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,  1,
                      2.5,   5,      10,    25,   50,    100,  250, 500,  1000, 3600};
  histogram.counts.assign(histogram.bounds.size() + 1, 0);
  return histogram;
}

void observe(Histogram& histogram, double seconds) {
  if (!std::isfinite(seconds)) return;
  seconds = std::max(seconds, 0.0);
  const auto bound = std::lower_bound(histogram.bounds.begin(), histogram.bounds.end(), seconds);
  for (auto i = static_cast<size_t>(bound - histogram.bounds.begin()); i < histogram.counts.size();
       ++i) {
    ++histogram.counts[i];
  }
  histogram.sum += seconds;
  ++histogram.count;
}

void Pace::observe(const std::string& model, double work, double seconds) {
  if (!(work > 0) || !(seconds >= 0)) return;
  const double unit = seconds / work;
  if (overall_) {
    follow(*overall_, unit);
  } else {
    overall_ = unit;
  }
  const auto found = by_model_.find(model);
  if (found != by_model_.end()) {
    follow(found->second, unit);
  } else if (by_model_.size() < kMaxModels) {
    by_model_[model] = unit;
  }
}

std::optional<double> Pace::seconds(const std::string& model, double work) const {
  const auto found = by_model_.find(model);
  if (found != by_model_.end()) return found->second * work;
  if (overall_) return *overall_ * work;
  return {};
}

void StageTimes::observe(std::string_view stage, double seconds) {
  if (stage.empty()) return;
  auto found = by_name_.find(stage);
  if (found == by_name_.end()) {
    const std::string_view name = by_name_.size() < kMaxStages ? stage : "other";
    found = by_name_.try_emplace(std::string(name), make_duration_histogram()).first;
  }
  tintype::observe(found->second, seconds);
}

}  // namespace tintype
