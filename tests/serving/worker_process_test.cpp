#include "serving/worker_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include "image/test_folder.h"
#include "serving/serving_helpers.h"

namespace tintype {
namespace {

/// One worker process and everything it told.
class WorkerProcessTest : public ::testing::Test {
 protected:
  WorkerProcessTest() {
    options_.name = "cpu0";
    options_.command = {TT_WORKER};
    options_.capacity = 4;
    options_.first_pause = 10ms;
    options_.stop_limit = 500ms;
    options_.log = [this](std::string_view line) { note(log_, std::string(line)); };
  }
  ~WorkerProcessTest() override {
    if (worker_) worker_->stop();
  }

  template <typename T>
  void note(std::vector<T>& list, T value) {
    const std::lock_guard lock(mutex_);
    list.push_back(std::move(value));
  }
  void start() {
    worker_ = std::make_unique<WorkerProcess>(options_);
    WorkerEvents events;
    events.on_progress = [this](const JobId&, const JobProgress& p) { note(steps_, p.step); };
    events.on_preview = [this](const JobId&, int step, const std::vector<SharedBlob>&) {
      note(previews_, step);
    };
    events.on_step_saved = [this](const JobId&, SharedBlob b) { note(saved_, b->bytes); };
    events.on_success = [this](const JobId&, JobResult r) { note(successes_, std::move(r)); };
    events.on_failure = [this](const JobId&, JobError e) { note(failures_, std::move(e)); };
    events.on_lost = [this](const JobId&, std::string reason) { note(lost_, std::move(reason)); };
    events.on_change = [] {};
    worker_->start(std::move(events));
    wait_alive();
  }
  void wait_alive() {
    ASSERT_TRUE(eventually([&] { return worker_->status().alive; }));
  }
  JobId run(const std::string& request) {
    Assignment job;
    job.id = JobId::make();
    job.request = request;
    job.inputs = {blob_of("a"), blob_of("b")};
    worker_->run(job);
    return job.id;
  }
  template <typename T>
  bool arrives(const std::vector<T>& list, size_t count = 1) {
    return eventually([&] {
      const std::lock_guard lock(mutex_);
      return list.size() >= count;
    });
  }
  bool logged(const std::string& part) {
    return eventually([&] {
      const std::lock_guard lock(mutex_);
      return std::any_of(log_.begin(), log_.end(), [&](const std::string& line) {
        return line.find(part) != std::string::npos;
      });
    });
  }

  WorkerProcessOptions options_;
  std::mutex mutex_;
  std::vector<std::string> log_, saved_, lost_;
  std::vector<int> steps_, previews_;
  std::vector<JobResult> successes_;
  std::vector<JobError> failures_;
  std::unique_ptr<WorkerProcess> worker_;
};

TEST_F(WorkerProcessTest, RunsJobsAndTellsOfThem) {
  start();
  run("noop");
  ASSERT_TRUE(arrives(successes_));
  EXPECT_EQ(successes_[0].files.at(0).second->bytes, "ab");
  EXPECT_EQ(successes_[0].files.at(0).first.width_px, 3);
  run("steps 8 1");
  ASSERT_TRUE(arrives(successes_, 2));
  EXPECT_EQ(steps_, (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(previews_, (std::vector<int>{4, 8}));
  EXPECT_EQ(saved_.size(), 8u);
  run("fail hard");
  ASSERT_TRUE(arrives(failures_));
  EXPECT_EQ(failures_[0].kind, ErrorKind::kOutOfMemory);
  EXPECT_TRUE(eventually([&] { return worker_->status().models.size() == 1; }));
  const WorkerStatus status = worker_->status();
  EXPECT_EQ(status.models.at(0), "resident-model");
  EXPECT_EQ(status.resident_bytes, 12345u);
  EXPECT_EQ(status.counters.at(0).first, "cache_hits");
  EXPECT_EQ(status.jobs_done, 3u);
  EXPECT_EQ(status.restarts, 0u);
}

TEST_F(WorkerProcessTest, LargeMessagesPassWhole) {
  start();
  Assignment job;
  job.id = JobId::make();
  job.request = "noop";
  std::string large(40 << 20, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 2654435761u >> 24);
  job.inputs = {blob_of(large)};
  worker_->run(job);
  ASSERT_TRUE(arrives(successes_));
  EXPECT_TRUE(successes_[0].files.at(0).second->bytes == large);
}

TEST_F(WorkerProcessTest, DeathIsNamedAndAnotherIsStarted) {
  start();
  const std::vector<std::pair<std::string, std::string>> deaths = {
      {"die", "was killed by signal 9 (out of memory?)"},
      {"exit 3", "ended with code 3"},
      {"garbage", "broken message"}};
  for (size_t i = 0; i < deaths.size(); ++i) {
    run(deaths[i].first);
    ASSERT_TRUE(arrives(lost_, i + 1));
    EXPECT_NE(lost_[i].find(deaths[i].second), std::string::npos) << lost_[i];
    wait_alive();
    EXPECT_EQ(worker_->status().restarts, i + 1);
  }
  run("noop");
  EXPECT_TRUE(arrives(successes_));
}

TEST_F(WorkerProcessTest, AllJobsOfADeadWorkerAreLost) {
  start();
  run("hang");
  run("hang");
  run("die");
  ASSERT_TRUE(arrives(lost_, 3));
  EXPECT_EQ(worker_->status().running, 0);
}

TEST_F(WorkerProcessTest, CancelsWithinAStep) {
  start();
  const JobId id = run("steps 1000 5");
  ASSERT_TRUE(arrives(steps_, 2));
  worker_->cancel(id);
  ASSERT_TRUE(arrives(failures_));
  EXPECT_EQ(failures_[0].kind, ErrorKind::kCancelled);
  worker_->cancel(JobId::make());
}

TEST_F(WorkerProcessTest, AWorkerThatDoesNotLetGoIsKilled) {
  options_.cancel_limit = 50ms;
  start();
  worker_->cancel(run("hang"));
  ASSERT_TRUE(arrives(lost_));
  EXPECT_NE(lost_[0].find("did not let go"), std::string::npos);
  wait_alive();
}

TEST_F(WorkerProcessTest, WhatItWritesBecomesLogLines) {
  start();
  run("print hello there");
  EXPECT_TRUE(logged("print hello there"));
  worker_->stop();
  EXPECT_TRUE(logged("and more"));
  EXPECT_TRUE(logged("cpu0 started as process"));
}

TEST_F(WorkerProcessTest, StopEndsTheProcessAndItsJobs) {
  start();
  run("hang");
  const auto begin = std::chrono::steady_clock::now();
  worker_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
  EXPECT_EQ(lost_.size(), 1u);
  worker_->stop();
  EXPECT_FALSE(worker_->status().alive);
}

TEST_F(WorkerProcessTest, AJobForADeadWorkerIsLostAndNotForgotten) {
  start();
  worker_->stop();
  worker_.reset();
  options_.command = {"/bin/false"};
  options_.first_pause = 10s;
  worker_ = std::make_unique<WorkerProcess>(options_);
  WorkerEvents events;
  events.on_lost = [this](const JobId&, std::string reason) { note(lost_, std::move(reason)); };
  events.on_change = [] {};
  worker_->start(std::move(events));
  EXPECT_TRUE(logged("ended with code 1"));
  run("noop");
  ASSERT_TRUE(arrives(lost_));
  EXPECT_EQ(lost_[0], "is not running");
}

TEST_F(WorkerProcessTest, AMissingProgramIsAnErrorAtOnce) {
  options_.command = {"/no/such/program"};
  EXPECT_EQ(error_of([&] { WorkerProcess worker(options_); }).first, ErrorKind::kNotFound);
  options_.command = {"no-such-program-anywhere"};
  EXPECT_EQ(error_of([&] { WorkerProcess worker(options_); }).first, ErrorKind::kNotFound);
  options_.command = {};
  EXPECT_EQ(error_of([&] { WorkerProcess worker(options_); }).first, ErrorKind::kInvalidArgument);
}

TEST_F(WorkerProcessTest, InheritsNoDescriptorButItsSocket) {
  // Not closed on exec, as those of careless libraries.
  const int leak = ::open("/dev/null", O_RDONLY);
  options_.command = {"/bin/sh", "-c", "ls -l /proc/$$/fd; ps -o nice= -p $$ || true"};
  options_.first_pause = 10s;
  worker_ = std::make_unique<WorkerProcess>(options_);
  WorkerEvents events;
  events.on_change = [] {};
  worker_->start(std::move(events));
  EXPECT_TRUE(logged("ended with code 0"));
  ::close(leak);
  std::set<std::string> open;
  for (const std::string& line : log_) {
    const size_t arrow = line.find(" -> ");
    if (arrow == std::string::npos) continue;
    open.insert(
        line.substr(line.rfind(' ', arrow - 1) + 1, arrow - line.rfind(' ', arrow - 1) - 1));
  }
  EXPECT_EQ(open, (std::set<std::string>{"0", "1", "2", "3"}));
}

TEST(RuntimeWithProcesses, AJobWhoseWorkerDiesEndsAsIfItHadNot) {
  TestFolder folder;
  RuntimeOptions options;
  options.store = folder.path() / "jobs.sqlite";
  std::vector<std::unique_ptr<Worker>> workers;
  for (const char* name : {"cpu0", "cpu1"}) {
    WorkerProcessOptions process;
    process.name = name;
    process.command = {TT_WORKER};
    process.first_pause = 10ms;
    workers.push_back(std::make_unique<WorkerProcess>(process));
  }
  JobRuntime runtime(options, std::move(workers));
  const JobId plain = runtime.submit(spec_of("steps 8 2")).job->id;
  const JobId dying = runtime.submit(spec_of("die_at 5")).job->id;
  const JobId deadly = runtime.submit(spec_of("die")).job->id;
  ASSERT_TRUE(wait_for_state(runtime, plain, JobState::kSucceeded));
  ASSERT_TRUE(wait_for_state(runtime, dying, JobState::kSucceeded));
  ASSERT_TRUE(wait_for_state(runtime, deadly, JobState::kFailed));
  EXPECT_EQ(runtime.find(dying)->attempts, 2);
  EXPECT_EQ(runtime.find(dying)->info, "from 5");
  EXPECT_EQ(runtime.result(dying, 0)->bytes, runtime.result(plain, 0)->bytes);
  EXPECT_NE(runtime.find(deadly)->error->message.find("signal 9"), std::string::npos);
  EXPECT_EQ(runtime.find(deadly)->attempts, 3);
}

}  // namespace
}  // namespace tintype
