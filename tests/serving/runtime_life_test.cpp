// What happens to jobs when workers or the server go away, and when results grow old.
#include <gtest/gtest.h>

#include <atomic>

#include "image/test_folder.h"
#include "serving/job_runtime.h"
#include "serving/job_store.h"
#include "serving/serving_helpers.h"

namespace tintype {
namespace {

class RuntimeLifeTest : public PlayedRuntimeTest {};

TEST_F(RuntimeLifeTest, ALostJobRunsAgainFromItsSavedSteps) {
  open();
  JobSpec spec = spec_of("draw");
  spec.inputs = {blob_of("in")};
  const JobId id = submit(spec);
  submit(spec_of("next"));
  worker_->job(0);
  worker_->events.on_step_saved(id, blob_of("s1"));
  worker_->events.on_step_saved(id, blob_of("s2"));
  worker_->events.on_lost(id, "was killed by signal 9");
  const Assignment again = worker_->job(1);
  EXPECT_EQ(again.id, id) << "back at the head of the line";
  EXPECT_EQ(again.attempt, 2);
  ASSERT_EQ(again.saved_steps.size(), 2u);
  EXPECT_EQ(again.saved_steps[1]->bytes, "s2");
  EXPECT_EQ(again.inputs.at(0)->bytes, "in");
  EXPECT_EQ(runtime_->stats().retries, 1u);
  worker_->events.on_step_saved(id, blob_of("s3"));
  worker_->events.on_lost(id, "was killed by signal 9");
  EXPECT_EQ(worker_->job(2).saved_steps.size(), 3u);
  worker_->events.on_lost(id, "was killed by signal 9 (out of memory?)");
  ASSERT_TRUE(wait_for_state(*runtime_, id, JobState::kFailed));
  EXPECT_EQ(find(id)->error->kind, ErrorKind::kOutOfMemory);
  EXPECT_NE(find(id)->error->message.find("w0 was killed by signal 9"), std::string::npos);
  EXPECT_EQ(find(id)->attempts, 3);
  EXPECT_EQ(worker_->job(3).request, "next");
}

TEST_F(RuntimeLifeTest, ADeadWorkerGetsNoJobs) {
  open();
  worker_->set_alive(false);
  EXPECT_FALSE(runtime_->ready());
  const JobId id = submit(spec_of("draw"));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(worker_->taken(), 0u);
  EXPECT_EQ(find(id)->state, JobState::kQueued);
  worker_->set_alive(true);
  EXPECT_TRUE(runtime_->ready());
  EXPECT_EQ(worker_->job(0).id, id);
}

TEST_F(RuntimeLifeTest, ARestartGoesOnWhereTheLastOneStopped) {
  open();
  worker_->obeys = false;
  JobSpec spec = spec_of("runs");
  spec.inputs = {blob_of("in")};
  const JobId running = submit(spec);
  const JobId queued = submit(spec_of("waits"));
  worker_->job(0);
  worker_->events.on_step_saved(running, blob_of("s1"));
  worker_->events.on_progress(running, {"denoise", 1, 2, 0.5, {}});
  const uint64_t revision = find(running)->revision;
  open();
  const Assignment again = worker_->job(0);
  EXPECT_EQ(again.id, running);
  EXPECT_EQ(again.attempt, 2);
  EXPECT_EQ(again.saved_steps.at(0)->bytes, "s1");
  EXPECT_EQ(again.inputs.at(0)->bytes, "in");
  EXPECT_GT(find(running)->revision, revision);
  EXPECT_EQ(find(queued)->state, JobState::kQueued);
  worker_->events.on_step_saved(running, blob_of("s2"));
  worker_->succeed(running);
  worker_->succeed(worker_->job(1).id);
  ASSERT_TRUE(wait_for_state(*runtime_, queued, JobState::kSucceeded));
  const uint64_t last = find(running)->revision;
  open();
  EXPECT_EQ(find(running)->state, JobState::kSucceeded);
  EXPECT_EQ(find(running)->revision, last);
  EXPECT_EQ(runtime_->result(running, 0)->bytes, "picture");
  EXPECT_EQ(worker_->taken(), 0u);
}

TEST_F(RuntimeLifeTest, ACancellationSurvivesARestart) {
  open();
  worker_->obeys = false;
  const JobId cancelled = submit(spec_of("runs"));
  worker_->job(0);
  runtime_->cancel(cancelled);
  EXPECT_EQ(find(cancelled)->state, JobState::kRunning);
  open();
  ASSERT_TRUE(wait_for_state(*runtime_, cancelled, JobState::kCancelled));
  EXPECT_EQ(worker_->taken(), 0u);
}

TEST_F(RuntimeLifeTest, ADeadlinePassesWhileTheServerIsDown) {
  open();
  worker_->obeys = false;
  submit(spec_of("runs"));
  worker_->job(0);
  JobSpec spec = spec_of("waits");
  spec.deadline = WallClock::now() + 100ms;
  const JobId id = submit(spec);
  runtime_.reset();
  std::this_thread::sleep_for(120ms);
  open();
  EXPECT_TRUE(wait_for_state(*runtime_, id, JobState::kExpired));
}

TEST_F(RuntimeLifeTest, DrainLetsJobsFinishAndTakesNoNewOnes) {
  open();
  const JobId running = submit(spec_of("runs")), queued = submit(spec_of("waits"));
  worker_->job(0);
  std::thread finisher([&] {
    std::this_thread::sleep_for(50ms);
    worker_->succeed(running);
  });
  runtime_->drain(5s);
  finisher.join();
  EXPECT_EQ(error_of([&] { submit(spec_of("late")); }).first, ErrorKind::kUnsupported);
  EXPECT_FALSE(runtime_->ready());
  EXPECT_EQ(find(running)->state, JobState::kSucceeded);
  EXPECT_EQ(find(queued)->state, JobState::kQueued);
  EXPECT_EQ(worker_->taken(), 1u);
}

TEST_F(RuntimeLifeTest, DrainStopsWhatDoesNotFinishInTimeAndKeepsIt) {
  open();
  const JobId id = submit(spec_of("runs"));
  worker_->job(0);
  worker_->events.on_step_saved(id, blob_of("s1"));
  const auto begin = std::chrono::steady_clock::now();
  runtime_->drain(50ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_EQ(find(id)->state, JobState::kQueued);
  open();
  EXPECT_EQ(worker_->job(0).saved_steps.size(), 1u);
}

TEST_F(RuntimeLifeTest, ResultsGoByTimeAndBudgetAndTheJobStays) {
  options_.results_ttl = 1s;
  options_.results_budget_bytes = 25'000;
  open();
  std::vector<JobId> ids;
  for (size_t i = 0; i < 4; ++i) {
    ids.push_back(submit(spec_of("x")));
    worker_->job(i);
    worker_->succeed(ids.back(), std::string(10'000, 'p'));
    ASSERT_TRUE(wait_for_state(*runtime_, ids.back(), JobState::kSucceeded));
  }
  EXPECT_TRUE(eventually([&] { return runtime_->stats().result_bytes == 20'000; }));
  EXPECT_TRUE(eventually([&] { return !runtime_->result(ids[1], 0); }));
  EXPECT_TRUE(eventually([&] { return find(ids[1])->results.empty(); }));
  EXPECT_TRUE(runtime_->result(ids[3], 0));
  EXPECT_TRUE(eventually([&] { return runtime_->stats().result_bytes == 0; }));
  EXPECT_TRUE(eventually([&] { return find(ids[3])->results.empty(); }));
  EXPECT_EQ(find(ids[3])->state, JobState::kSucceeded);
  EXPECT_FALSE(runtime_->result(ids[3], 0));
}

TEST_F(RuntimeLifeTest, FinishedJobsAreFoundLongAfter) {
  open(64);
  std::vector<JobId> ids;
  for (size_t i = 0; i < 700; ++i) {  // more than are kept in memory
    ids.push_back(submit(spec_of("x")));
    worker_->succeed(worker_->job(i).id, std::to_string(i));
  }
  ASSERT_TRUE(wait_for_state(*runtime_, ids.back(), JobState::kSucceeded));
  for (const size_t i : {0, 1, 350, 699}) {
    ASSERT_TRUE(find(ids[i]));
    EXPECT_EQ(runtime_->result(ids[i], 0)->bytes, std::to_string(i));
  }
}

TEST_F(RuntimeLifeTest, OptionsAreChecked) {
  options_.policy = "leest_busy";
  EXPECT_EQ(error_of([&] { open(); }).first, ErrorKind::kInvalidArgument);
  options_ = {};
  options_.store = folder_.path() / "jobs.sqlite";
  EXPECT_EQ(error_of([&] { JobRuntime runtime(options_, {}); }).first, ErrorKind::kInvalidArgument);
  folder_.write("jobs.sqlite", "no store");
  EXPECT_EQ(error_of([&] { open(); }).first, ErrorKind::kCorruptFile);
}

}  // namespace
}  // namespace tintype
