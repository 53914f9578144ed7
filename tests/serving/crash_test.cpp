// The promise that nothing accepted is lost, held against a server that is killed at random
// moments. The server is this program again, as a child: gtest's own death tests would not do,
// because the child has to be killed from outside.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <random>
#include <sstream>

#include "image/test_folder.h"
#include "serving/job_runtime.h"
#include "serving/job_store.h"
#include "serving/serving_helpers.h"

namespace tintype {
namespace {

constexpr const char* kStoreVariable = "TT_CRASH_STORE";
constexpr const char* kRequests[] = {"noop", "steps 3 1", "steps 6 2", "die_at 4"};

std::vector<std::unique_ptr<Worker>> processes() {
  std::vector<std::unique_ptr<Worker>> workers;
  for (const char* name : {"cpu0", "cpu1"}) {
    WorkerProcessOptions process;
    process.name = name;
    process.command = {TT_WORKER};
    process.capacity = 2;
    process.first_pause = 5ms;
    workers.push_back(std::make_unique<WorkerProcess>(process));
  }
  return workers;
}

RuntimeOptions options_for(const std::filesystem::path& store) {
  RuntimeOptions options;
  options.store = store;
  options.max_queued = options.max_queued_per_owner = 30;
  options.max_attempts = 1000;  // every kill takes the workers along
  return options;
}

/// What the child does: submits as fast as it may, and says on standard output what was promised:
/// "ID REQUEST" after acceptance, "C ID" after a cancellation, "S ID RESULT" after a success.
TEST(CrashChild, Serves) {
  const char* store = std::getenv(kStoreVariable);
  if (store == nullptr) GTEST_SKIP() << "run by CrashTest";
  JobRuntime runtime(options_for(store), processes());
  std::mt19937 random(std::random_device{}());
  const auto say = [](const std::string& line) {
    (void)!::write(STDOUT_FILENO, line.data(), line.size());  // one write is one whole line
  };
  const Subscription all = runtime.subscribe_all([&](const SharedSnapshot& job) {
    if (job->state != JobState::kSucceeded) return;
    const SharedBlob result = runtime.result(job->id, 0);
    say("S " + job->id.text() + " " + (result ? result->bytes : "?") + "\n");
  });
  for (;;) {
    const char* request = kRequests[random() % std::size(kRequests)];
    try {
      JobSpec spec = spec_of(request, random() % 2 ? "a" : "b");
      spec.inputs = {blob_of("input")};
      const JobId id = runtime.submit(spec).job->id;
      say("A " + id.text() + " " + request + "\n");
      if (random() % 8 != 0 || !runtime.cancel(id)) continue;
      if (runtime.find(id)->state != JobState::kSucceeded) say("C " + id.text() + " -\n");
    } catch (const Error&) {
      std::this_thread::sleep_for(1ms);  // full
    }
  }
}

/// What was promised over all rounds.
struct Promises {
  std::map<std::string, std::string> accepted, results;
  std::map<std::string, bool> cancelled;
};

void read_promises(int fd, Promises& promises) {
  std::string text;
  char bytes[65536];
  for (ssize_t got; (got = ::read(fd, bytes, sizeof(bytes))) > 0;) {
    text.append(bytes, static_cast<size_t>(got));
  }
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string what, id, rest;
    words >> what >> id;
    std::getline(words >> std::ws, rest);
    if (id.size() != 36) continue;  // gtest's own lines
    if (what == "A") promises.accepted[id] = rest;
    if (what == "C") promises.cancelled[id] = true;
    if (what != "S") continue;
    const auto [known, is_new] = promises.results.emplace(id, rest);
    EXPECT_EQ(known->second, rest) << id << " ended twice";
  }
}

/// Runs the child for a while and kills it.
void round_of(const std::filesystem::path& store, int ms, Promises& promises) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  // The child must never wait for its reader.
  ::fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
  ::setenv(kStoreVariable, store.c_str(), 1);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl("/proc/self/exe", "serving_test", "--gtest_filter=CrashChild.Serves", nullptr);
    ::_exit(127);
  }
  ::unsetenv(kStoreVariable);
  ::close(ends[1]);
  std::thread reader([&] { read_promises(ends[0], promises); });
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  reader.join();
  ::close(ends[0]);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the server ended by itself with " << WEXITSTATUS(status);
}

std::string expected_result(const std::string& request) {
  if (request == "noop") return "input";
  int steps = request == "steps 3 1" ? 3 : request == "steps 6 2" ? 6 : 8;
  uint64_t state = 1;
  while (steps-- > 0) state = state * 6364136223846793005u + 1442695040888963407u;
  return std::to_string(state);
}

TEST(CrashTest, NothingAcceptedIsLostAndNothingEndsTwice) {
  const char* given = std::getenv("TT_CRASH_ROUNDS");
  const int rounds = given != nullptr ? std::atoi(given) : 20;
  TestFolder folder;
  const auto store = folder.path() / "jobs.sqlite";
  Promises promises;
  std::mt19937 random(7);
  for (int round = 0; round < rounds; ++round) {
    round_of(store, 5 + static_cast<int>(random() % 150), promises);
    if (HasFatalFailure()) return;
  }
  ASSERT_GT(promises.accepted.size(), static_cast<size_t>(rounds));
  JobRuntime runtime(options_for(store), processes());
  ASSERT_TRUE(eventually(
      [&] {
        const RuntimeStats stats = runtime.stats();
        return stats.queued == 0 && stats.running == 0;
      },
      60s));
  std::map<JobState, int> states;
  int resumed = 0;
  for (const auto& [text, request] : promises.accepted) {
    const JobId id = *JobId::parse(text);
    ASSERT_TRUE(eventually([&] {
      const SharedSnapshot job = runtime.find(id);
      return job && is_final(job->state);
    })) << "lost: "
        << text;
    const SharedSnapshot job = runtime.find(id);
    ++states[job->state];
    resumed += job->info.rfind("from ", 0) == 0 && job->info != "from 0";
    if (job->state == JobState::kSucceeded) {
      const SharedBlob result = runtime.result(id, 0);
      ASSERT_TRUE(result) << "a success without its result";
      EXPECT_EQ(result->bytes, expected_result(request)) << request;
      EXPECT_FALSE(promises.cancelled.count(text)) << "a cancellation was forgotten";
    } else {
      EXPECT_EQ(job->state, JobState::kCancelled) << (job->error ? job->error->message : "");
      EXPECT_EQ(promises.results.count(text), 0u) << "was told as a success before";
    }
  }
  for (const auto& [text, result] : promises.results) {
    const SharedBlob now = runtime.result(*JobId::parse(text), 0);
    ASSERT_TRUE(now) << text;
    EXPECT_EQ(now->bytes, result);
  }
  std::printf("%d kills: %zu accepted, %d succeeded (%d from saved steps), %d cancelled\n", rounds,
              promises.accepted.size(), states[JobState::kSucceeded], resumed,
              states[JobState::kCancelled]);
}

}  // namespace
}  // namespace tintype
