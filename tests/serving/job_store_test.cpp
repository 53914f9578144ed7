#include "serving/job_store.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <future>

#include "image/test_folder.h"
#include "serving/retention.h"
#include "serving/serving_helpers.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

class JobStoreTest : public ::testing::Test {
 protected:
  fs::path path() const { return folder_.path() / "jobs.sqlite"; }

  static std::shared_ptr<JobRecord> record(int64_t seq) {
    auto job = std::make_shared<JobRecord>();
    job->seq = seq;
    job->id = JobId::make();
    job->request = "request " + std::to_string(seq);
    job->owner = "owner";
    job->created = from_us(1'700'000'000'000'000 + seq);
    return job;
  }
  static std::optional<Error> insert(JobStore& store, SharedRecord job,
                                     std::vector<SharedBlob> inputs = {}) {
    std::promise<std::optional<Error>> written;
    store.insert(std::move(job), std::move(inputs), [&](const Error* error) {
      written.set_value(error ? std::optional<Error>(*error) : std::nullopt);
    });
    return written.get_future().get();
  }
  static std::optional<Error> finish(JobStore& store, const JobRecord& job,
                                     std::vector<SharedBlob> results) {
    auto final_record = std::make_shared<JobRecord>(job);
    final_record->state = JobState::kSucceeded;
    final_record->finished = job.created;
    final_record->info = "info";
    for (const SharedBlob& blob : results) {
      final_record->results.push_back({blob->media_type, blob->bytes.size(), 8, 8});
      final_record->stored_bytes += blob->bytes.size();
    }
    if (final_record->stored_bytes > 0) final_record->results_expire = job.created + 1h;
    std::promise<std::optional<Error>> written;
    store.finish(final_record, std::move(results), [&](const Error* error) {
      written.set_value(error ? std::optional<Error>(*error) : std::nullopt);
    });
    return written.get_future().get();
  }

  TestFolder folder_;
};

TEST_F(JobStoreTest, KeepsJobsAcrossOpenings) {
  auto job = record(1);
  job->client_key = "key";
  job->fingerprint = ~uint64_t{0};
  job->priority = -3;
  job->deadline = job->created + 5s;
  job->inputs = 1;
  {
    JobStore store(path());
    EXPECT_EQ(store.first_free_seq(), 1);
    EXPECT_FALSE(insert(store, job, {blob_of("input")}));
    store.save_step(1, 0, blob_of("step 0"));
    store.save_step(1, 1, blob_of("step 1"));
    auto started = std::make_shared<JobRecord>(*job);
    started->started = job->created + 1s;
    started->attempts = 1;
    started->worker = "cpu0";
    store.mark_started(started);
  }
  JobStore store(path());
  EXPECT_EQ(store.first_free_seq(), 2);
  const auto live = store.live();
  ASSERT_EQ(live.size(), 1u);
  const JobRecord& read = live[0].record;
  EXPECT_EQ(live[0].saved_steps, 2u);
  EXPECT_EQ(live[0].saved_bytes, 12u);
  EXPECT_EQ(read.id, job->id);
  EXPECT_EQ(read.state, JobState::kRunning);
  EXPECT_EQ(read.request, "request 1");
  EXPECT_EQ(read.fingerprint, job->fingerprint);
  EXPECT_EQ(read.priority, -3);
  EXPECT_EQ(read.deadline, job->deadline);
  EXPECT_EQ(read.started, job->created + 1s);
  EXPECT_EQ(read.attempts, 1);
  EXPECT_EQ(read.worker, "cpu0");
  EXPECT_EQ(store.input(1, 0)->bytes, "input");
  EXPECT_EQ(store.input(1, 0)->media_type, "image/png");
  EXPECT_FALSE(store.input(1, 1));
  ASSERT_EQ(store.saved_steps(1).size(), 2u);
  EXPECT_EQ(store.saved_steps(1)[1]->bytes, "step 1");
  EXPECT_EQ(store.find_key("owner", "key")->id, job->id);
  EXPECT_FALSE(store.find_key("other", "key"));
  EXPECT_FALSE(store.find_key("owner", ""));
}

TEST_F(JobStoreTest, AnEndHasItsResultsAndIsTheOnlyOne) {
  JobStore store(path());
  const auto job = record(1);
  insert(store, job);
  store.save_step(1, 0, blob_of("step"));
  EXPECT_FALSE(finish(store, *job, {blob_of("first"), blob_of("second")}));
  EXPECT_TRUE(finish(store, *job, {blob_of("other")}));
  const auto read = store.find(job->id);
  EXPECT_EQ(read->state, JobState::kSucceeded);
  ASSERT_EQ(read->results.size(), 2u);
  EXPECT_EQ(read->results[1].bytes, 6u);
  EXPECT_EQ(read->info, "info");
  EXPECT_EQ(store.result(1, 0)->bytes, "first");
  EXPECT_EQ(store.result(1, 1)->bytes, "second");
  EXPECT_FALSE(store.result(1, 2));
  EXPECT_FALSE(store.result(1, 300));
  EXPECT_TRUE(store.saved_steps(1).empty());
  store.save_step(1, 1, blob_of("late"));
  store.flush();
  EXPECT_TRUE(store.saved_steps(1).empty());
  EXPECT_TRUE(store.live().empty());
}

TEST_F(JobStoreTest, OneBadChangeDoesNotTakeItsNeighboursAlong) {
  JobStore store(path());
  std::atomic<int> good{0}, bad{0};
  const auto count = [&](const Error* error) { ++(error ? bad : good); };
  for (int i = 1; i <= 50; ++i) {
    auto job = record(i);
    job->client_key = i % 10 == 0 ? "same" : "key " + std::to_string(i);
    store.insert(job, {}, count);
  }
  store.flush();
  EXPECT_EQ(good, 46);
  EXPECT_EQ(bad, 4);
  EXPECT_EQ(store.live().size(), 46u);
}

TEST_F(JobStoreTest, ListsNewestFirstByOwnerStateAndPage) {
  JobStore store(path());
  std::vector<std::shared_ptr<JobRecord>> jobs;
  for (int i = 1; i <= 10; ++i) {
    jobs.push_back(record(i));
    jobs.back()->owner = i % 2 ? "odd" : "even";
    insert(store, jobs.back());
    if (i < 9) finish(store, *jobs.back(), {});
  }
  JobStore::Page page;
  page.limit = 3;
  auto seqs = [&] {
    std::vector<int64_t> out;
    for (const JobRecord& job : store.list_final(page)) out.push_back(job.seq);
    return out;
  };
  EXPECT_EQ(seqs(), (std::vector<int64_t>{8, 7, 6}));
  page.before = jobs[5]->id;
  EXPECT_EQ(seqs(), (std::vector<int64_t>{5, 4, 3}));
  page.owner = "even";
  EXPECT_EQ(seqs(), (std::vector<int64_t>{4, 2}));
  page.states = {JobState::kFailed};
  EXPECT_TRUE(seqs().empty());
  page.states = {JobState::kFailed, JobState::kSucceeded, JobState::kQueued};
  EXPECT_EQ(seqs().size(), 2u);
}

TEST_F(JobStoreTest, TwoServersCannotHaveOneStore) {
  JobStore store(path());
  const auto [kind, message] = error_of([&] { JobStore second(path()); });
  EXPECT_EQ(kind, ErrorKind::kIo);
  EXPECT_NE(message.find("belongs to a server that runs (process " + std::to_string(::getpid())),
            std::string::npos)
      << message;
}

TEST_F(JobStoreTest, DamagedFilesAreNamedAndLeftAsTheyAre) {
  {
    JobStore store(path());
    for (int i = 1; i <= 200; ++i) insert(store, record(i));
  }
  const std::string good = read_file(path());
  const auto refused = [&](const std::string& bytes, const char* what) {
    write_file(path(), bytes);
    const auto [kind, message] = error_of([&] { JobStore store(path()); });
    EXPECT_EQ(kind, ErrorKind::kCorruptFile) << what;
    EXPECT_NE(message.find(path().string()), std::string::npos) << what << ": " << message;
    EXPECT_EQ(read_file(path()), bytes) << what;
  };
  refused("", "empty");
  refused("no database at all, but long enough to be read as one, perhaps", "text");
  refused(good.substr(0, good.size() / 2), "cut in half");
  std::string zeros = good;
  std::fill(zeros.begin() + 4096, zeros.begin() + 5 * 4096, '\0');
  refused(zeros, "pages of zeros");
  std::string noise = good;
  for (size_t i = 8192; i < noise.size(); i += 7) noise[i] ^= 0x55;
  refused(noise, "noise");
  std::string newer = good;
  newer[63] = 9;  // user_version
  refused(newer, "newer version");
  write_file(path(), good);
  JobStore store(path());
  EXPECT_EQ(store.live().size(), 200u);
}

TEST_F(JobStoreTest, AMissingFileBesideItsLogIsNotMadeAnew) {
  write_file(folder_.path() / "jobs.sqlite-wal", "log");
  EXPECT_EQ(error_of([&] { JobStore store(path()); }).first, ErrorKind::kCorruptFile);
  EXPECT_FALSE(fs::exists(path()));
}

TEST_F(JobStoreTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_EQ(error_of([&] { JobStore store(folder_.path() / "no" / "jobs.sqlite"); }).first,
            ErrorKind::kIo);
}

TEST_F(JobStoreTest, AFullDiskRefusesNewJobsAndKeepsTheRestWaiting) {
  JobStore store(path());
  const auto running = record(1);
  insert(store, running);
  // A file size limit stands for the full disk: the log cannot grow.
  ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  struct rlimit small = before;
  small.rlim_cur = 256 << 10;
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto refused = insert(store, record(2), {blob_of(std::string(1 << 20, 'x'))});
  std::atomic<bool> finished{false};
  auto final_record = std::make_shared<JobRecord>(*running);
  final_record->state = JobState::kSucceeded;
  final_record->results.push_back({"image/png", 1 << 20, 8, 8});
  store.finish(final_record, {blob_of(std::string(1 << 20, 'y'))}, [&](const Error* error) {
    EXPECT_EQ(error, nullptr);
    finished = true;
  });
  EXPECT_TRUE(eventually([&] { return !store.healthy(); }));
  EXPECT_TRUE(insert(store, record(3)));
  EXPECT_FALSE(finished);
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_TRUE(eventually([&] { return finished.load() && store.healthy(); }));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->kind(), ErrorKind::kIo);
  EXPECT_EQ(store.result(1, 0)->bytes.size(), size_t{1} << 20);
  EXPECT_FALSE(insert(store, record(4)));
}

TEST_F(JobStoreTest, SpaceOfDeletedResultsGoesBack) {
  JobStore store(path());
  std::vector<int64_t> seqs;
  for (int i = 1; i <= 20; ++i) {
    const auto job = record(i);
    insert(store, job);
    finish(store, *job, {blob_of(std::string(1 << 20, 'x'))});
    seqs.push_back(i);
  }
  EXPECT_EQ(store.stored_bytes(), 20u << 20);
  store.drop_blobs({1, 2}, {});
  store.flush();
  EXPECT_FALSE(store.result(1, 0));
  EXPECT_EQ(store.stored_bytes(), 18u << 20);
  EXPECT_TRUE(store.list_final({}).back().results.empty());
  store.remove(seqs, {});
  store.flush();
  EXPECT_EQ(store.final_count(), 0u);
  EXPECT_TRUE(eventually([&] { return fs::file_size(path()) < (12u << 20); }))
      << fs::file_size(path());
}

TEST_F(JobStoreTest, RetentionGoesByTimeBudgetAndNumber) {
  JobStore store(path());
  std::vector<std::shared_ptr<JobRecord>> jobs;
  for (int i = 1; i <= 10; ++i) {
    jobs.push_back(record(i));
    jobs.back()->created += i * 1min;
    insert(store, jobs.back());
    finish(store, *jobs.back(), {blob_of(std::string(1000, 'x'))});
  }
  std::vector<JobId> gone;
  Retention retention(store, {3600s, 7500, 8}, [&](const JobId& id) { gone.push_back(id); });
  EXPECT_EQ(retention.stored_bytes(), 10'000u);
  retention.sweep(jobs[0]->created);
  // Three over the budget lose their pictures, the oldest first; two of them are one job too many.
  EXPECT_EQ(retention.stored_bytes(), 7000u);
  EXPECT_EQ(gone,
            (std::vector<JobId>{jobs[0]->id, jobs[1]->id, jobs[2]->id, jobs[0]->id, jobs[1]->id}));
  EXPECT_FALSE(store.find(jobs[1]->id));
  EXPECT_TRUE(store.find(jobs[2]->id)->results.empty());
  EXPECT_TRUE(store.result(4, 0));
  gone.clear();
  retention.sweep(jobs[4]->created + 1h);
  EXPECT_EQ(gone, (std::vector<JobId>{jobs[3]->id, jobs[4]->id}));
  EXPECT_EQ(retention.stored_bytes(), 5000u);
  retention.sweep(jobs[9]->created + 8h);
  EXPECT_EQ(store.final_count(), 0u);
  EXPECT_EQ(retention.stored_bytes(), 0u);
}

}  // namespace
}  // namespace tintype
