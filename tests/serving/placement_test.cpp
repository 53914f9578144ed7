#include "serving/placement.h"

#include <gtest/gtest.h>

#include <set>

#include "serving/serving_helpers.h"

namespace tintype {
namespace {

TEST(Placement, LeastBusyTakesTheEmptiestLivingWorker) {
  const auto policy = make_placement_policy("least_busy");
  std::vector<WorkerLoad> workers(3);
  EXPECT_FALSE(policy->choose(workers, "m"));
  workers[0] = {.alive = true, .capacity = 4, .running = 2, .models = {}, .last_model = {}};
  workers[1] = {.alive = true, .capacity = 2, .running = 2, .models = {}, .last_model = {}};
  workers[2] = {.alive = true, .capacity = 4, .running = 1, .models = {}, .last_model = {}};
  EXPECT_EQ(policy->choose(workers, "m"), 2u);
  workers[2].alive = false;
  EXPECT_EQ(policy->choose(workers, "m"), 0u);
}

TEST(Placement, RoundRobinGoesAroundTheFreeOnes) {
  const auto policy = make_placement_policy("round_robin");
  std::vector<WorkerLoad> workers(3);
  for (WorkerLoad& worker : workers) worker.alive = true;
  workers[1].running = 1;
  EXPECT_EQ(policy->choose(workers, "m"), 0u);
  EXPECT_EQ(policy->choose(workers, "m"), 2u);
  EXPECT_EQ(policy->choose(workers, "m"), 0u);
}

TEST(Placement, RandomReachesEveryFreeWorkerAndNoOther) {
  const auto policy = make_placement_policy("random");
  std::vector<WorkerLoad> workers(4);
  for (WorkerLoad& worker : workers) worker.alive = true;
  workers[2].alive = false;
  std::set<size_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(*policy->choose(workers, "m"));
  EXPECT_EQ(seen, (std::set<size_t>{0, 1, 3}));
}

TEST(Placement, AffinityPrefersTheModelThenAnEmptyWorkerAndNeverWaits) {
  const auto policy = make_placement_policy("model_affinity");
  const std::vector<std::string> has_a{"a"}, has_b{"b"};
  std::vector<WorkerLoad> workers(3);
  for (WorkerLoad& worker : workers) worker.alive = true;
  workers[0].models = has_a;
  workers[2].models = has_b;
  EXPECT_EQ(policy->choose(workers, "b"), 2u);
  EXPECT_EQ(policy->choose(workers, "c"), 1u);
  workers[2].running = 1;
  EXPECT_EQ(policy->choose(workers, "b"), 1u);
  workers[1].last_model = "c";  // loads it now
  EXPECT_EQ(policy->choose(workers, "c"), 1u);
  workers[1].running = 1;
  EXPECT_EQ(policy->choose(workers, "b"), 0u);
}

TEST(Placement, AnUnknownPolicyNamesTheNearest) {
  const auto [kind, message] = error_of([] { make_placement_policy("round-robin"); });
  EXPECT_EQ(kind, ErrorKind::kInvalidArgument);
  EXPECT_NE(message.find("round_robin"), std::string::npos);
  for (const std::string& name : placement_policies()) EXPECT_TRUE(make_placement_policy(name));
}

}  // namespace
}  // namespace tintype
