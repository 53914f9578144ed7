/// Counts of the HTTP side: requests by route and status, their durations, connections, listeners.
/// Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

namespace tintype::http {

class HttpMetrics {
 public:
  /// Upper bounds in seconds.
  static constexpr std::array<double, 12> kBounds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                     0.05,   0.1,   0.5,    2.5,   10,   60};

  /// `route` is a pattern of the table, "other" where none matched: never text from outside.
  void count(const std::string& method, const std::string& route, int status, double seconds);

  struct Durations {
    std::array<uint64_t, kBounds.size() + 1> buckets{};  ///< each alone, not summed up
    double sum = 0;
    uint64_t count = 0;
  };
  struct Totals {
    /// {method, route, status}
    std::map<std::tuple<std::string, std::string, int>, uint64_t> requests;
    std::map<std::string, Durations> durations;  ///< by route
  };
  Totals totals() const;

  std::atomic<int64_t> connections{0}, event_streams{0}, body_bytes{0};
  std::atomic<uint64_t> accepted{0}, refused{0}, timeouts{0}, bad_requests{0};

 private:
  mutable std::mutex mutex_;
  Totals totals_;
};

}  // namespace tintype::http
