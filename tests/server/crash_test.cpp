// The server, or one of its workers, killed at random moments under load: no accepted job is lost,
// none ends with another result than an undisturbed run's, and the store stays whole.
//
// TT_CRASH_ROUNDS sets how many times it is killed (8 unless set), TT_CRASH_SEED the moments.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "server/http_client.h"
#include "server/server_process.h"

namespace tintype::testing {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

int number_from(const char* variable, int fallback) {
  const char* text = std::getenv(variable);
  return text ? std::atoi(text) : fallback;
}

/// Requests whose pictures differ; jobs take them in turn. Samplers that remember earlier steps,
/// and ones that draw noise in each.
const std::vector<Json>& requests() {
  static const std::vector<Json> all = [] {
    std::vector<Json> made;
    for (const char* sampler : {"ddim", "euler_a", "dpmpp_2m", "unipc"})
      for (const int steps : {5, 20, 40})
        made.push_back({{"type", "txt2img"},
                        {"prompt", "red apple"},
                        {"sampler", sampler},
                        {"steps", steps},
                        {"seed", 7 + steps},
                        {"preview", {{"every", 2}}}});
    return made;
  }();
  return all;
}

/// What was accepted, by its id: the request's index.
class Accepted {
 public:
  void add(const std::string& id, size_t request) {
    const std::lock_guard lock(mutex_);
    const auto [at, fresh] = jobs_.emplace(id, request);
    EXPECT_EQ(at->second, request) << "two requests became one job " << id;
  }
  std::map<std::string, size_t> all() const {
    const std::lock_guard lock(mutex_);
    return jobs_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, size_t> jobs_;
};

/// Submits one job after the other, each until it is accepted, and goes on when all but a few of
/// its jobs are done: a client whose server keeps dying.
class Client {
 public:
  Client(int port, int number, Accepted& accepted, const std::atomic<bool>& done)
      : http_(port), accepted_(accepted), done_(done), thread_([this, number] { work(number); }) {}
  ~Client() { thread_.join(); }

 private:
  static constexpr size_t kUnderWay = 8;

  void work(int number) {
    for (int i = 0; !done_; ++i) {
      const size_t index = static_cast<size_t>(number * 5 + i) % requests().size();
      Json body = requests()[index];
      body["client_key"] = "client " + std::to_string(number) + " job " + std::to_string(i);
      while (!done_ && !submit(body.dump(), index)) std::this_thread::sleep_for(50ms);
      while (!done_ && under_way_.size() > kUnderWay && !is_done(under_way_.front()))
        std::this_thread::sleep_for(50ms);
      if (under_way_.size() > kUnderWay) under_way_.pop_front();
    }
  }

  bool submit(const std::string& body, size_t index) {
    const auto answer = http_.post("/v1/jobs", body);
    if (!answer) return false;
    if (answer->status == 200 || answer->status == 202) {
      under_way_.push_back(Json::parse(answer->body)["id"]);
      accepted_.add(under_way_.back(), index);
      return true;
    }
    if (answer->status != 429 && answer->status != 503)
      ADD_FAILURE() << answer->status << " " << answer->body;
    return false;
  }

  bool is_done(const std::string& id) {
    const auto answer = http_.get("/v1/jobs/" + id);
    return answer && answer->body.find("\"state\":\"succeeded\"") != std::string::npos;
  }

  HttpClient http_;
  Accepted& accepted_;
  const std::atomic<bool>& done_;
  std::deque<std::string> under_way_;
  std::thread thread_;
};

/// The job once it is final; null after `limit` without a change.
Json finished(HttpClient& client, const std::string& id, std::chrono::seconds limit) {
  for (const auto end = std::chrono::steady_clock::now() + limit;
       std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(20ms)) {
    const auto answer = client.get("/v1/jobs/" + id);
    if (!answer) continue;
    if (answer->status != 200) {
      ADD_FAILURE() << "job " << id << ": " << answer->status << " " << answer->body;
      return {};
    }
    Json job = Json::parse(answer->body);
    if (job["state"] != "queued" && job["state"] != "running") return job;
  }
  ADD_FAILURE() << "job " << id << " does not end";
  return {};
}

std::string picture_of(HttpClient& client, const Json& job) {
  if (job.is_null() || job["state"] != "succeeded" || job["results"].size() != 1) {
    ADD_FAILURE() << job;
    return {};
  }
  const auto answer = client.get(job["results"][0]["url"].get<std::string>());
  if (!answer || answer->status != 200) {
    ADD_FAILURE() << "no picture of " << job["id"];
    return {};
  }
  return answer->body;
}

std::string integrity_of(const std::filesystem::path& store) {
  sqlite3* database = nullptr;
  std::string verdict = "cannot be opened";
  if (sqlite3_open_v2(store.c_str(), &database, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK)
    sqlite3_exec(
        database, "PRAGMA integrity_check",
        [](void* to, int, char** values, char**) {
          *static_cast<std::string*>(to) = values[0];
          return 0;
        },
        &verdict, nullptr);
  sqlite3_close(database);
  return verdict;
}

TEST(Crash, NoAcceptedJobIsLostOrEndsDifferently) {
  const int rounds = number_from("TT_CRASH_ROUNDS", 8);
  const auto folder =
      std::filesystem::temp_directory_path() / ("tintype-crash-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto store = folder / "jobs.sqlite", log = folder / "log";
  const int port = free_port();
  std::mt19937 random(static_cast<unsigned>(number_from("TT_CRASH_SEED", 1)));
  const auto start = [&] {
    // Killed workers must not use a job's attempts up: dying is what this test is about.
    auto server = std::make_unique<ServerProcess>(
        store, port, log, std::vector<std::string>{"--max-attempts", "100"});
    EXPECT_TRUE(server->wait_ready());
    return server;
  };

  Accepted accepted;
  auto server = start();
  int workers_killed = 0;
  {
    std::atomic<bool> done = false;
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 4; ++i)
      clients.push_back(std::make_unique<Client>(port, i, accepted, done));
    for (int round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 2000));
      const std::vector<pid_t> workers = server->children();
      if (random() % 4 == 0 && !workers.empty()) {
        ::kill(workers[random() % workers.size()], SIGKILL);
        ++workers_killed;
        continue;
      }
      server->kill();
      server = start();
    }
    done = true;
  }

  HttpClient client(port);
  const auto jobs = accepted.all();
  int attempts = 0, disturbed = 0;
  std::map<std::string, std::string> pictures;
  for (const auto& [id, request] : jobs) {
    const Json job = finished(client, id, 120s);
    pictures[id] = picture_of(client, job);
    if (::testing::Test::HasFailure()) break;
    attempts += job["attempts"].get<int>();
    disturbed += job["attempts"].get<int>() > 1;
  }
  // What an undisturbed server draws for each request.
  std::vector<std::string> expected;
  for (const Json& request : requests()) {
    const auto fresh = client.post("/v1/jobs", request.dump());
    ASSERT_TRUE(fresh && fresh->status == 202) << (fresh ? fresh->body : "no answer");
    expected.push_back(picture_of(client, finished(client, Json::parse(fresh->body)["id"], 120s)));
  }
  for (const auto& [id, request] : jobs)
    EXPECT_TRUE(pictures[id] == expected[request]) << "job " << id << " ended with another picture";
  EXPECT_EQ(server->stop(), 0);
  EXPECT_EQ(integrity_of(store), "ok");
  EXPECT_GT(disturbed, 0) << "no job was disturbed: this test tested nothing";
  std::cout << rounds << " deaths, " << workers_killed << " of them of a worker alone; "
            << jobs.size() << " jobs accepted, " << disturbed << " disturbed, " << attempts
            << " runs\n";
  if (!::testing::Test::HasFailure()) std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tintype::testing
