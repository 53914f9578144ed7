// What a job costs over HTTP beside its computing: no-op jobs through the whole server (native
// route, checks at the door, a store that syncs, a worker process that answers at once, server-sent
// events).
//   server_overhead WORKER MODELS [--store FILE] [--jobs N] [--connections N]
// WORKER is the test's noop_worker, MODELS a folder with a model that requests may name.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "http/serve_app.h"
#include "server/http_client.h"
#include "serving/worker_process.h"

namespace tintype {
namespace {

using Clock = std::chrono::steady_clock;
using testing::HttpClient;

struct Settings {
  std::string worker, models;
  std::filesystem::path store = "server_overhead.sqlite";
  int jobs = 20'000, connections = 32;
};

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

void print_quantiles(const char* what, std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  std::printf("%-36s median %7.3f ms, p99 %7.3f ms (%zu)\n", what, ms[ms.size() / 2],
              ms[ms.size() * 99 / 100], ms.size());
}

constexpr const char* kRequest = R"({"type":"txt2img","prompt":"red apple","steps":4,"seed":1})";

/// The end of one job after the other, heard by polling as fast as it goes: an upper bound of what
/// events tell.
void measure_single(int port, int jobs) {
  HttpClient client(port);
  std::vector<double> health, accepted, finished;
  for (int i = 0; i < jobs; ++i) {
    auto begin = Clock::now();
    if (!client.get("/healthz")) std::exit(1);
    const bool counts = i >= jobs / 2;  // at first the store's log grows, and syncs are slower
    if (counts) health.push_back(ms_since(begin));
    begin = Clock::now();
    const auto answer = client.post("/v1/jobs", kRequest);
    if (counts) accepted.push_back(ms_since(begin));
    if (!answer || answer->status != 202) {
      std::fprintf(stderr, "refused: %s\n", answer ? answer->body.c_str() : "no answer");
      std::exit(1);
    }
    const auto id = nlohmann::json::parse(answer->body)["id"].get<std::string>();
    for (;;) {
      const auto job = client.get("/v1/jobs/" + id);
      if (job && job->body.find("\"state\":\"succeeded\"") != std::string::npos) break;
    }
    if (counts) finished.push_back(ms_since(begin));
  }
  print_quantiles("GET /healthz", health);
  print_quantiles("one at a time, until accepted", accepted);
  print_quantiles("one at a time, until seen finished", finished);
}

void measure_crowd(http::ServeApp& app, int port, const Settings& settings) {
  const auto done = [&] {
    uint64_t total = 0;
    for (const auto& [state, count] : app.runtime().stats().finished) total += count;
    return total;
  };
  const uint64_t before = done();
  const auto begin = Clock::now();
  std::vector<std::thread> clients;
  for (int c = 0; c < settings.connections; ++c)
    clients.emplace_back([&, c] {
      HttpClient client(port);
      for (int i = c; i < settings.jobs; i += settings.connections)
        for (;;) {
          const auto answer = client.post("/v1/jobs", kRequest);
          if (answer && answer->status == 202) break;
          ::usleep(1000);  // the queue is full
        }
    });
  for (std::thread& client : clients) client.join();
  const double submitted = ms_since(begin) / 1000;
  while (done() - before < static_cast<uint64_t>(settings.jobs)) ::usleep(200);
  const double seconds = ms_since(begin) / 1000;
  std::printf(
      "%-36s %.0f jobs/s submitted and finished (%d jobs, %d connections; accepted in %.2f s, "
      "finished in %.2f s)\n",
      "a crowd", settings.jobs / seconds, settings.jobs, settings.connections, submitted, seconds);
}

Settings parse(int argc, char** argv) {
  Settings settings;
  if (argc < 3) {
    std::fprintf(stderr,
                 "server_overhead WORKER MODELS [--store FILE] [--jobs N] [--connections N]\n");
    std::exit(2);
  }
  settings.worker = argv[1];
  settings.models = argv[2];
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--store") settings.store = argv[i + 1];
    if (flag == "--jobs") settings.jobs = std::atoi(argv[i + 1]);
    if (flag == "--connections") settings.connections = std::atoi(argv[i + 1]);
  }
  return settings;
}

int measure(const Settings& settings) {
  http::ServeConfig config;
  config.port = 0;
  config.store = settings.store.string();
  config.model_folders = {settings.models};
  config.max_queued = config.max_queued_per_key = 5000;
  config.access_log = false;
  config.log_level = "warning";
  const auto log = http::make_log(config);
  const Catalogue catalogue(http::catalogue_options(config));
  WorkerProcessOptions process;
  process.name = "noop";
  process.command = {settings.worker};
  process.capacity = 64;
  process.nice = 0;
  std::vector<std::unique_ptr<Worker>> workers;
  workers.push_back(std::make_unique<WorkerProcess>(process));
  {
    http::ServeApp app(config, catalogue, std::move(workers), *log);
    while (!app.runtime().ready()) ::usleep(1000);
    std::string url = app.url();
    while (url.ends_with('/')) url.pop_back();
    const int port = std::atoi(url.substr(url.rfind(':') + 1).c_str());
    measure_single(port, 3000);
    measure_crowd(app, port, settings);
  }
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    std::filesystem::path file = settings.store;
    file += suffix;
    std::filesystem::remove(file);
  }
  return 0;
}

}  // namespace
}  // namespace tintype

int main(int argc, char** argv) {
  try {
    return tintype::measure(tintype::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "server_overhead: %s\n", error.what());
    return 1;
  }
}
