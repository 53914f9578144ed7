#include "serving/placement.h"

#include <algorithm>
#include <random>
#include <tuple>

#include "base/check.h"
#include "base/text.h"
#include "serving/job_runtime.h"

namespace tintype {
namespace {

/// The free worker with the smallest key, the first of equals.
template <typename Key>
std::optional<size_t> least(std::span<const WorkerLoad> workers, const Key& key) {
  std::optional<size_t> best;
  for (size_t i = 0; i < workers.size(); ++i) {
    if (workers[i].free() && (!best || key(workers[i]) < key(workers[*best]))) best = i;
  }
  return best;
}

double load_of(const WorkerLoad& worker) {
  return static_cast<double>(worker.running) / worker.capacity;
}

class LeastBusy : public PlacementPolicy {
 public:
  std::optional<size_t> choose(std::span<const WorkerLoad> workers, std::string_view) override {
    return least(workers, load_of);
  }
};

class RoundRobin : public PlacementPolicy {
 public:
  std::optional<size_t> choose(std::span<const WorkerLoad> workers, std::string_view) override {
    for (size_t i = 0; i < workers.size(); ++i) {
      const size_t at = (next_ + i) % workers.size();
      if (!workers[at].free()) continue;
      next_ = at + 1;
      return at;
    }
    return {};
  }

 private:
  size_t next_ = 0;
};

class Random : public PlacementPolicy {
 public:
  std::optional<size_t> choose(std::span<const WorkerLoad> workers, std::string_view) override {
    std::vector<size_t> free;
    for (size_t i = 0; i < workers.size(); ++i) {
      if (workers[i].free()) free.push_back(i);
    }
    if (free.empty()) return {};
    return free[std::uniform_int_distribution<size_t>(0, free.size() - 1)(engine_)];
  }

 private:
  std::mt19937_64 engine_{std::random_device{}()};
};

/// A worker that has the model; else one that has none yet; else the least busy. A free worker is
/// never left idle to wait for a better one.
class ModelAffinity : public PlacementPolicy {
 public:
  std::optional<size_t> choose(std::span<const WorkerLoad> workers,
                               std::string_view model) override {
    return least(workers, [&](const WorkerLoad& worker) {
      const auto place = std::find(worker.models.begin(), worker.models.end(), model);
      const bool loading = worker.last_model == model;
      int cost = worker.models.empty() && worker.last_model.empty() ? 1 : 2;
      if (loading || place != worker.models.end()) cost = 0;
      return std::tuple(cost, load_of(worker), place - worker.models.begin());
    });
  }
};

}  // namespace

std::vector<std::string> placement_policies() {
  return {"least_busy", "round_robin", "random", "model_affinity"};
}

std::unique_ptr<PlacementPolicy> make_placement_policy(std::string_view name) {
  if (name == "least_busy") return std::make_unique<LeastBusy>();
  if (name == "round_robin") return std::make_unique<RoundRobin>();
  if (name == "random") return std::make_unique<Random>();
  if (name == "model_affinity") return std::make_unique<ModelAffinity>();
  fail(ErrorKind::kInvalidArgument, "policy", unknown_name(name, placement_policies()));
}

}  // namespace tintype
