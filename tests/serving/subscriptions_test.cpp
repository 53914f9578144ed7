#include "serving/subscriptions.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "serving/serving_helpers.h"

namespace tintype {
namespace {

SharedSnapshot snapshot_with(const JobId& id, uint64_t revision) {
  auto out = std::make_shared<JobSnapshot>();
  out->id = id;
  out->revision = revision;
  return out;
}

TEST(Subscriptions, TellsThePresentAndTheLatestOfWhatFollows) {
  const JobId id = JobId::make();
  std::atomic<uint64_t> revision{1};
  Subscriptions all([&](const JobId& asked) { return snapshot_with(asked, revision); });
  std::mutex mutex;
  std::vector<uint64_t> seen;
  std::promise<void> gate;
  std::shared_future<void> open = gate.get_future().share();
  const Subscription one = all.add(id, [&](SharedSnapshot job) {
    open.wait_for(5s);
    const std::lock_guard lock(mutex);
    seen.push_back(job->revision);
  });
  std::this_thread::sleep_for(20ms);
  for (int i = 0; i < 100; ++i) {
    ++revision;
    all.changed(id);
  }
  gate.set_value();
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return !seen.empty() && seen.back() == 101;
  }));
  EXPECT_LE(seen.size(), 3u);  // not one for each of a hundred
}

TEST(Subscriptions, ALastSnapshotIsToldWhenNothingIsFoundAnyMore) {
  const JobId id = JobId::make();
  Subscriptions all([](const JobId&) { return SharedSnapshot(); });
  std::atomic<uint64_t> told{0}, told_all{0};
  const Subscription one = all.add(id, [&](SharedSnapshot job) { told = job->revision; });
  const Subscription every = all.add_all([&](SharedSnapshot job) { told_all = job->revision; });
  all.changed(id, snapshot_with(id, 9));
  EXPECT_TRUE(eventually([&] { return told == 9 && told_all == 9; }));
}

TEST(Subscriptions, NothingIsToldAfterTheEnd) {
  Subscriptions all([](const JobId& id) { return snapshot_with(id, 1); });
  const JobId id = JobId::make();
  for (int round = 0; round < 50; ++round) {
    auto alive = std::make_unique<int>(0);
    Subscription one = all.add_all([count = alive.get()](SharedSnapshot) { ++*count; });
    for (int i = 0; i < 20; ++i) all.changed(id);
    one = Subscription();
    alive.reset();
    all.changed(id);
  }
}

TEST(Subscriptions, ACallbackMayEndItsOwn) {
  Subscriptions all([](const JobId& id) { return snapshot_with(id, 1); });
  std::atomic<int> calls{0};
  Subscription one;
  std::promise<void> assigned;
  one = all.add_all([&](SharedSnapshot) {
    assigned.get_future().wait();
    ++calls;
    one = Subscription();
  });
  all.changed(JobId::make());
  all.changed(JobId::make());
  assigned.set_value();
  EXPECT_TRUE(eventually([&] { return calls == 1; }));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, 1);
}

TEST(Subscriptions, MayOutliveTheirSource) {
  Subscription one;
  {
    Subscriptions all([](const JobId& id) { return snapshot_with(id, 1); });
    one = all.add(JobId::make(), [](SharedSnapshot) {});
  }
}

}  // namespace
}  // namespace tintype
