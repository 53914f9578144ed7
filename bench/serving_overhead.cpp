// What a job costs beside its computing: no-op jobs through the whole runtime, that is a store that
// syncs and a worker process that answers at once.
//   serving_overhead WORKER [--store FILE] [--jobs N] [--workers N] [--in-flight N]
// Prints what a sync costs on that disk, then latency of single jobs and the rate of a crowd.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <mutex>
#include <string>
#include <vector>

#include "serving/job_runtime.h"
#include "serving/worker_process.h"

namespace tintype {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::string worker;
  std::filesystem::path store = "serving_overhead.sqlite";
  int jobs = 20'000, workers = 1, in_flight = 1000;
};

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

void print_quantiles(const char* what, std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  std::printf("%-34s median %7.3f ms, p99 %7.3f ms (%zu)\n", what, ms[ms.size() / 2],
              ms[ms.size() * 99 / 100], ms.size());
}

double cpu_seconds() {
  double total = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    struct rusage usage;
    ::getrusage(who, &usage);
    for (const timeval& t : {usage.ru_utime, usage.ru_stime}) {
      total += static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    }
  }
  return total;
}

/// 4 KB written and synced, as the log's commit is.
void measure_sync(std::filesystem::path path) {
  path += ".probe";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const std::string page(4096, 'x');
  std::vector<double> ms;
  for (int i = 0; i < 200; ++i) {
    const auto begin = Clock::now();
    if (::pwrite(fd, page.data(), page.size(), i % 64 * 4096) < 0 || ::fdatasync(fd) != 0) break;
    ms.push_back(ms_since(begin));
  }
  ::close(fd);
  std::filesystem::remove(path);
  if (!ms.empty()) print_quantiles("write and fdatasync of a page", ms);
}

JobSpec noop() {
  JobSpec spec;
  spec.request = "noop";
  spec.model = "none";
  return spec;
}

/// One job after the other: submitted, and the end heard of.
void measure_single(JobRuntime& runtime, int jobs) {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<JobId> last;
  const Subscription all = runtime.subscribe_all([&](const SharedSnapshot& job) {
    if (!is_final(job->state)) return;
    const std::lock_guard lock(mutex);
    last = job->id;
    changed.notify_one();
  });
  std::vector<double> accepted, finished;
  for (int i = 0; i < jobs; ++i) {
    const auto begin = Clock::now();
    const JobId id = runtime.submit(noop()).job->id;
    const bool counts = i >= jobs / 2;  // at first the store's log grows, and syncs are slower
    if (counts) accepted.push_back(ms_since(begin));
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return last == id; });
    if (counts) finished.push_back(ms_since(begin));
  }
  print_quantiles("one at a time, until accepted", accepted);
  print_quantiles("one at a time, until finished", finished);
}

/// As many at once as the queue takes.
void measure_crowd(JobRuntime& runtime, const Settings& settings) {
  std::atomic<int> accepted{0}, refused{0};
  const auto done = [&] {
    uint64_t total = 0;
    for (const auto& [state, count] : runtime.stats().finished) total += count;
    return total;
  };
  const uint64_t before = done();
  const double cpu = cpu_seconds();
  const auto begin = Clock::now();
  for (int i = 0; i < settings.jobs; ++i) {
    while (i - static_cast<int>(done() - before) >= settings.in_flight) ::usleep(200);
    runtime.submit(noop(), [&](const std::variant<Submission, Error>& answer) {
      ++(std::holds_alternative<Submission>(answer) ? accepted : refused);
    });
  }
  while (done() - before < static_cast<uint64_t>(settings.jobs - refused)) ::usleep(200);
  const double seconds = ms_since(begin) / 1000;
  for (const auto& [state, count] : runtime.stats().finished) {
    if (state != JobState::kSucceeded) {
      std::printf("%llu jobs ended as %s\n", static_cast<unsigned long long>(count),
                  std::string(to_string(state)).c_str());
    }
  }
  std::printf(
      "%-34s %.0f jobs/s (%d jobs in %.2f s, %d refused; %.0f us of this process' CPU a job)\n",
      "a crowd", settings.jobs / seconds, settings.jobs, seconds, refused.load(),
      (cpu_seconds() - cpu) / settings.jobs * 1e6);
}

Settings parse(int argc, char** argv) {
  Settings settings;
  if (argc < 2) {
    std::fprintf(stderr,
                 "serving_overhead WORKER [--store FILE] [--jobs N] [--workers N] "
                 "[--in-flight N]\n");
    std::exit(2);
  }
  settings.worker = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--store") settings.store = argv[i + 1];
    if (flag == "--jobs") settings.jobs = std::atoi(argv[i + 1]);
    if (flag == "--workers") settings.workers = std::atoi(argv[i + 1]);
    if (flag == "--in-flight") settings.in_flight = std::atoi(argv[i + 1]);
  }
  return settings;
}

int measure(const Settings& settings) {
  measure_sync(settings.store);
  RuntimeOptions options;
  options.store = settings.store;
  options.max_queued = options.max_queued_per_owner = static_cast<size_t>(settings.in_flight) + 1;
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < settings.workers; ++i) {
    WorkerProcessOptions process;
    process.name = "noop" + std::to_string(i);
    process.command = {settings.worker};
    process.capacity = 64;
    process.nice = 0;
    workers.push_back(std::make_unique<WorkerProcess>(process));
  }
  {
    JobRuntime runtime(options, std::move(workers));
    while (!runtime.ready()) ::usleep(1000);
    measure_single(runtime, 3000);
    measure_crowd(runtime, settings);
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
    std::fprintf(stderr, "serving_overhead: %s\n", error.what());
    return 1;
  }
}
