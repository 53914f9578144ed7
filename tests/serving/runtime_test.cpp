#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <set>

#include "image/test_folder.h"
#include "serving/job_runtime.h"
#include "serving/serving_helpers.h"

namespace tintype {
namespace {

class RuntimeTest : public PlayedRuntimeTest {};

TEST_F(RuntimeTest, AJobGoesFromSubmissionToItsResult) {
  open();
  JobSpec spec = spec_of("draw", "me");
  spec.inputs = {blob_of("in")};
  const Submission submission = runtime_->submit(spec);
  EXPECT_TRUE(submission.created);
  const JobId id = submission.job->id;
  const Assignment job = worker_->job(0);
  EXPECT_EQ(job.id, id);
  EXPECT_EQ(job.attempt, 1);
  EXPECT_EQ(job.request, "draw");
  ASSERT_EQ(job.inputs.size(), 1u);
  EXPECT_EQ(job.inputs[0]->bytes, "in");
  EXPECT_TRUE(wait_for_state(*runtime_, id, JobState::kRunning));
  worker_->events.on_progress(id, {"denoise", 3, 10, 0.3, 2.0});
  worker_->events.on_preview(id, 3, {blob_of("p")});
  SharedSnapshot now = find(id);
  EXPECT_EQ(now->progress.step, 3);
  EXPECT_EQ(now->worker, "w0");
  EXPECT_EQ(now->previews.at(0)->bytes, "p");
  EXPECT_GT(now->revision, submission.job->revision);
  worker_->events.on_progress(id, {"denoise", 4, 10, 0.2, {}});
  EXPECT_EQ(find(id)->progress.fraction, 0.3) << "falls";
  worker_->succeed(id);
  ASSERT_TRUE(wait_for_state(*runtime_, id, JobState::kSucceeded));
  const SharedSnapshot done = find(id);
  ASSERT_EQ(done->results.size(), 1u);
  EXPECT_EQ(done->results[0].bytes, 7u);
  EXPECT_TRUE(done->finished && done->started && done->results_expire);
  EXPECT_EQ(runtime_->result(id, 0)->bytes, "picture");
  EXPECT_EQ(runtime_->input(id, 0)->bytes, "in");
  EXPECT_FALSE(runtime_->result(id, 1));
  const RuntimeStats stats = runtime_->stats();
  EXPECT_EQ(stats.submitted, 1u);
  EXPECT_EQ(stats.run_s.count, 1u);
  EXPECT_EQ(stats.stage_s.at(0).first, "denoise");
  EXPECT_EQ(stats.result_bytes, 9u);
  EXPECT_EQ(stats.workers.at(0).jobs_done, 1u);
}

TEST_F(RuntimeTest, AWorkersFailureIsTheJobs) {
  open();
  const JobId id = submit(spec_of("draw"));
  worker_->job(0);
  worker_->events.on_failure(id, {ErrorKind::kOutOfMemory, "no memory"});
  ASSERT_TRUE(wait_for_state(*runtime_, id, JobState::kFailed));
  EXPECT_EQ(find(id)->error->kind, ErrorKind::kOutOfMemory);
  EXPECT_EQ(find(id)->error->message, "no memory");
}

TEST_F(RuntimeTest, AFullQueueRefuses) {
  options_.max_queued = 3;
  options_.max_queued_per_owner = 2;
  open();
  submit(spec_of("runs", "a"));
  worker_->job(0);
  submit(spec_of("1", "a"));
  submit(spec_of("2", "a"));
  EXPECT_EQ(error_of([&] { submit(spec_of("3", "a")); }).first, ErrorKind::kQueueFull);
  submit(spec_of("1", "b"));
  EXPECT_EQ(error_of([&] { submit(spec_of("1", "c")); }).first, ErrorKind::kQueueFull);
  EXPECT_EQ(runtime_->stats().rejected, 2u);
  EXPECT_EQ(runtime_->stats().queued, 3u);
}

TEST_F(RuntimeTest, BadSpecsAreRefused) {
  open();
  JobSpec spec = spec_of("x");
  spec.priority = 11;
  EXPECT_EQ(error_of([&] { submit(spec); }).first, ErrorKind::kInvalidArgument);
  spec = spec_of("x");
  spec.work = 0;
  EXPECT_EQ(error_of([&] { submit(spec); }).first, ErrorKind::kInvalidArgument);
  spec = spec_of("x");
  spec.client_key = std::string(201, 'k');
  EXPECT_EQ(error_of([&] { submit(spec); }).first, ErrorKind::kInvalidArgument);
}

TEST_F(RuntimeTest, TheOrderIsPriorityThenTurnsOfOwners) {
  open();
  submit(spec_of("first", "a"));
  worker_->job(0);
  for (const char* name : {"a1", "a2", "a3"}) submit(spec_of(name, "a"));
  submit(spec_of("b1", "b"));
  JobSpec urgent = spec_of("urgent", "a");
  urgent.priority = 5;
  const JobId last = submit(spec_of("a4", "a"));
  submit(urgent);
  EXPECT_TRUE(eventually([&] { return find(last)->position == 5; })) << find(last)->position;
  std::vector<std::string> order;
  for (size_t i = 0; i < 7; ++i) {
    const Assignment job = worker_->job(i);
    order.push_back(job.request);
    worker_->succeed(job.id);
  }
  EXPECT_EQ(order, (std::vector<std::string>{"first", "urgent", "b1", "a1", "a2", "a3", "a4"}));
}

TEST_F(RuntimeTest, EstimatesFollowThePace) {
  open();
  const JobId first = submit(spec_of("1"));
  worker_->job(0);
  const JobId early = submit(spec_of("2"));
  EXPECT_FALSE(find(early)->seconds_to_start);
  std::this_thread::sleep_for(50ms);
  worker_->succeed(first);
  worker_->job(1);
  submit(spec_of("3"));
  const JobId late = submit(spec_of("4"));
  ASSERT_TRUE(eventually([&] { return find(late)->seconds_to_start.has_value(); }));
  EXPECT_EQ(find(late)->position, 1);
  // One job before it, and the rest of the one that runs.
  EXPECT_GT(*find(late)->seconds_to_start, 0.04);
  EXPECT_LT(*find(late)->seconds_to_start, 10);
}

TEST_F(RuntimeTest, AClientKeyIsOneJob) {
  open();
  JobSpec spec = spec_of("draw", "me");
  spec.client_key = "k";
  const Submission first = runtime_->submit(spec);
  const Submission again = runtime_->submit(spec);
  EXPECT_TRUE(first.created);
  EXPECT_FALSE(again.created);
  EXPECT_EQ(first.job->id, again.job->id);
  spec.owner = "you";
  EXPECT_NE(runtime_->submit(spec).job->id, first.job->id);
  spec.owner = "me";
  spec.request = "other";
  EXPECT_EQ(error_of([&] { runtime_->submit(spec); }).first, ErrorKind::kInvalidArgument);
  spec.request = "draw";
  worker_->job(0);
  worker_->succeed(first.job->id);
  ASSERT_TRUE(wait_for_state(*runtime_, first.job->id, JobState::kSucceeded));
  EXPECT_EQ(runtime_->submit(spec).job->state, JobState::kSucceeded);
  open();
  EXPECT_EQ(runtime_->submit(spec).job->id, first.job->id);
  spec.inputs = {blob_of("another")};
  EXPECT_EQ(error_of([&] { runtime_->submit(spec); }).first, ErrorKind::kInvalidArgument);
  JobSpec drawn = spec_of("seed 1", "me");
  drawn.client_key = "drawn";
  drawn.fingerprint = "no seed";
  const JobId one = submit(drawn);
  drawn.request = "seed 2";
  EXPECT_EQ(submit(drawn), one);
}

TEST_F(RuntimeTest, OneKeyFromManyThreadsIsOneJob) {
  open();
  std::atomic<int> created{0};
  std::mutex mutex;
  std::set<JobId> ids;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 20; ++k) {
        JobSpec spec = spec_of("draw", "me");
        spec.client_key = std::to_string(k);
        const Submission got = runtime_->submit(spec);
        created += got.created;
        const std::lock_guard lock(mutex);
        ids.insert(got.job->id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(created, 20);
  EXPECT_EQ(ids.size(), 20u);
}

TEST_F(RuntimeTest, CancelsQueuedJobsAtOnceAndRunningOnesThroughTheirWorker) {
  open();
  const JobId running = submit(spec_of("runs")), queued = submit(spec_of("waits"));
  worker_->job(0);
  EXPECT_TRUE(runtime_->cancel(queued));
  EXPECT_EQ(find(queued)->state, JobState::kCancelled);
  EXPECT_TRUE(runtime_->cancel(running));
  ASSERT_TRUE(wait_for_state(*runtime_, running, JobState::kCancelled));
  EXPECT_TRUE(worker_->was_cancelled(running));
  EXPECT_TRUE(runtime_->cancel(running));  // stays as it is
  EXPECT_EQ(find(running)->state, JobState::kCancelled);
  EXPECT_FALSE(runtime_->cancel(JobId::make()));
  EXPECT_EQ(worker_->taken(), 1u);
}

TEST_F(RuntimeTest, ASuccessThatCrossesACancellationStaysCancelled) {
  open();
  worker_->obeys = false;
  const JobId id = submit(spec_of("runs"));
  worker_->job(0);
  runtime_->cancel(id);
  worker_->succeed(id);
  ASSERT_TRUE(wait_for_state(*runtime_, id, JobState::kCancelled));
  EXPECT_TRUE(find(id)->results.empty());
}

TEST_F(RuntimeTest, DeadlinesEndQueuedAndRunningJobs) {
  open();
  JobSpec spec = spec_of("runs");
  spec.deadline = WallClock::now() + 150ms;
  const JobId running = submit(spec), queued = submit(spec);
  worker_->job(0);
  EXPECT_TRUE(wait_for_state(*runtime_, queued, JobState::kExpired));
  EXPECT_TRUE(wait_for_state(*runtime_, running, JobState::kExpired));
  EXPECT_TRUE(worker_->was_cancelled(running));
  EXPECT_EQ(worker_->taken(), 1u);
}

TEST_F(RuntimeTest, RemovingForgetsAJobAndItsBytes) {
  open();
  const JobId done = submit(spec_of("1"));
  worker_->job(0);
  worker_->succeed(done);
  ASSERT_TRUE(wait_for_state(*runtime_, done, JobState::kSucceeded));
  const JobId running = submit(spec_of("2")), queued = submit(spec_of("3"));
  worker_->job(1);
  std::atomic<bool> told{false};
  const Subscription watch = runtime_->subscribe(running, [&](const SharedSnapshot& job) {
    if (is_final(job->state)) told = true;
  });
  for (const JobId& id : {done, running, queued}) {
    EXPECT_TRUE(runtime_->remove(id));
    EXPECT_FALSE(find(id));
    EXPECT_FALSE(runtime_->remove(id));
    EXPECT_FALSE(runtime_->cancel(id));
  }
  EXPECT_FALSE(runtime_->result(done, 0));
  EXPECT_TRUE(eventually([&] { return worker_->was_cancelled(running); }));
  EXPECT_TRUE(eventually([&] { return told.load(); }));
  EXPECT_TRUE(eventually([&] { return runtime_->stats().running == 0; }));
  open();
  EXPECT_TRUE(runtime_->list({}).empty());
  EXPECT_EQ(runtime_->stats().result_bytes, 0u);
}

TEST_F(RuntimeTest, ListsLiveAndFinishedTogether) {
  open();
  std::vector<JobId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(submit(spec_of("x", i % 2 ? "odd" : "even")));
  for (size_t i = 0; i < 2; ++i) worker_->succeed(worker_->job(i).id);
  ASSERT_TRUE(eventually([&] { return runtime_->stats().queued == 2 && worker_->taken() == 3; }));
  const auto list = [&](const JobFilter& filter) {
    std::vector<JobId> out;
    for (const SharedSnapshot& job : runtime_->list(filter)) out.push_back(job->id);
    return out;
  };
  std::vector<JobId> newest(ids.rbegin(), ids.rend());
  EXPECT_TRUE(eventually([&] { return list({}) == newest; }));
  JobFilter filter;
  filter.limit = 2;
  filter.before = newest[1];
  EXPECT_EQ(list(filter), (std::vector<JobId>{newest[2], newest[3]}));
  filter = {};
  filter.owner = list({}).empty() ? "" : find(newest[0])->owner;
  EXPECT_EQ(list(filter).size(), 3u);
  filter = {};
  filter.states = {JobState::kQueued};
  EXPECT_EQ(list(filter).size(), 2u);
  filter.states = {JobState::kSucceeded, JobState::kRunning};
  EXPECT_TRUE(eventually([&] { return list(filter).size() == 3; }));
  filter.limit = 0;
  EXPECT_TRUE(list(filter).empty());
}

TEST_F(RuntimeTest, SubscribersSeeEveryRevisionGrowToTheEnd) {
  open();
  std::mutex mutex;
  std::vector<SharedSnapshot> seen;
  std::atomic<int> of_all{0};
  const Subscription all = runtime_->subscribe_all([&](const SharedSnapshot&) { ++of_all; });
  const JobId id = submit(spec_of("x"));
  const Subscription one = runtime_->subscribe(id, [&](SharedSnapshot job) {
    const std::lock_guard lock(mutex);
    seen.push_back(std::move(job));
  });
  worker_->job(0);
  for (int step = 1; step <= 20; ++step) {
    worker_->events.on_progress(id, {"denoise", step, 20, step / 20.0, {}});
  }
  worker_->succeed(id);
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return !seen.empty() && seen.back()->state == JobState::kSucceeded;
  }));
  for (size_t i = 1; i < seen.size(); ++i) EXPECT_GT(seen[i]->revision, seen[i - 1]->revision);
  EXPECT_GT(of_all, 0);
}

TEST_F(RuntimeTest, QueuedSubscribersHearOfTheirPosition) {
  open();
  submit(spec_of("1"));
  submit(spec_of("2"));
  const JobId id = submit(spec_of("3"));
  std::mutex mutex;
  std::set<int> positions;
  const Subscription one = runtime_->subscribe(id, [&](const SharedSnapshot& job) {
    const std::lock_guard lock(mutex);
    if (job->state == JobState::kQueued) positions.insert(job->position);
  });
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return positions.count(1) > 0;
  }));
  worker_->succeed(worker_->job(0).id);
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return positions.count(0) > 0;
  }));
}

TEST_F(RuntimeTest, AWorkerThatAnswersAtOnceDoesNotPileUpCalls) {
  class Instant : public Worker {
   public:
    void start(WorkerEvents events) override { events_ = std::move(events); }
    WorkerStatus status() const override {
      WorkerStatus status;
      status.name = "instant";
      status.alive = true;
      return status;
    }
    void run(Assignment job) override { events_.on_success(job.id, {}); }
    void cancel(const JobId&) override {}
    void stop() override {}

   private:
    WorkerEvents events_;
  };
  std::vector<std::unique_ptr<Worker>> workers;
  workers.push_back(std::make_unique<Instant>());
  options_.max_queued = options_.max_queued_per_owner = 5000;
  JobRuntime runtime(options_, std::move(workers));
  std::atomic<int> accepted{0};
  for (int i = 0; i < 3000; ++i) {
    runtime.submit(spec_of("x"), [&](const std::variant<Submission, Error>& answer) {
      accepted += std::holds_alternative<Submission>(answer);
    });
  }
  EXPECT_TRUE(eventually([&] {
    const auto finished = runtime.stats().finished;
    return accepted == 3000 && !finished.empty() && finished[0].second == 3000;
  }));
}

}  // namespace
}  // namespace tintype
