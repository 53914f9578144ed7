#include "serving/job_id.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "serving/job.h"

namespace tintype {
namespace {

TEST(JobId, IsAUuidOfVersionSevenWithTheTimeInFront) {
  const auto before = std::chrono::system_clock::now();
  const JobId id = JobId::make();
  const std::string text = id.text();
  ASSERT_EQ(text.size(), 36u);
  EXPECT_EQ(text[14], '7');
  EXPECT_NE(std::string("89ab").find(text[19]), std::string::npos);
  uint64_t ms = 0;
  for (int i = 0; i < 6; ++i) ms = ms << 8 | id.bytes()[i];
  const auto now_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(before.time_since_epoch()).count();
  EXPECT_NEAR(static_cast<double>(ms), static_cast<double>(now_ms), 5000);
}

TEST(JobId, SortsInTheOrderOfMakingAndNeverRepeats) {
  JobId last;
  for (int i = 0; i < 20'000; ++i) {
    const JobId id = JobId::make();
    ASSERT_LT(last, id);
    last = id;
  }
  std::vector<std::vector<JobId>> made(4);
  std::vector<std::thread> threads;
  for (auto& list : made) {
    threads.emplace_back([&list] {
      for (int i = 0; i < 5000; ++i) list.push_back(JobId::make());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<JobId> all;
  for (const auto& list : made) all.insert(list.begin(), list.end());
  EXPECT_EQ(all.size(), 20'000u);
}

TEST(JobId, ReadsItsTextInEitherCaseAndNothingElse) {
  const JobId id = JobId::make();
  std::string text = id.text();
  EXPECT_EQ(JobId::parse(text), id);
  for (char& c : text) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(JobId::parse(text), id);
  for (const std::string& bad :
       {std::string(), text.substr(1), text + "0", std::string(36, '-'), "g" + text.substr(1),
        text.substr(0, 8) + "0" + text.substr(9), "{" + text + "}"}) {
    EXPECT_FALSE(JobId::parse(bad)) << bad;
  }
}

TEST(JobState, NamesReadBack) {
  for (const JobState state : {JobState::kQueued, JobState::kRunning, JobState::kSucceeded,
                               JobState::kFailed, JobState::kCancelled, JobState::kExpired}) {
    EXPECT_EQ(parse_job_state(to_string(state)), state);
  }
  EXPECT_FALSE(parse_job_state("Queued"));
  EXPECT_FALSE(is_final(JobState::kRunning));
  EXPECT_TRUE(is_final(JobState::kExpired));
}

}  // namespace
}  // namespace tintype
