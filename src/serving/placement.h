/// Which free worker takes the next job. No threads: the runtime calls under its lock.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tintype {

/// A worker as placement sees it.
struct WorkerLoad {
  bool alive = false;
  int capacity = 1, running = 0;
  std::span<const std::string> models;  ///< loaded ones, the most recently used first
  std::string_view last_model;          ///< of the last job that it was given

  bool free() const { return alive && running < capacity; }
};

class PlacementPolicy {
 public:
  virtual ~PlacementPolicy() = default;
  /// Index of a free worker; none where none is free.
  virtual std::optional<size_t> choose(std::span<const WorkerLoad> workers,
                                       std::string_view model) = 0;
};

/// Of placement_policies(). throws kInvalidArgument proposing the nearest name
std::unique_ptr<PlacementPolicy> make_placement_policy(std::string_view name);

}  // namespace tintype
