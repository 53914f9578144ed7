#include "http/http_metrics.h"

#include <algorithm>

namespace tintype::http {

void HttpMetrics::count(const std::string& method, const std::string& route, int status,
                        double seconds) {
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin();
  const std::lock_guard lock(mutex_);
  ++totals_.requests[{method, route, status}];
  Durations& durations = totals_.durations[route];
  ++durations.buckets[static_cast<size_t>(bucket)];
  durations.sum += seconds;
  ++durations.count;
}

HttpMetrics::Totals HttpMetrics::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace tintype::http
