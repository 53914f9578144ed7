// A worker process for tests and benchmarks. A request is words:
//   noop               succeeds at once with its inputs, joined
//   steps N MS         N steps of MS milliseconds, each saved; goes on from saved steps
//   die_at N           as steps 8 2, but is killed after step N of the first attempt
//   die                is killed at once, every time
//   exit CODE, hang, garbage, fail TEXT, print TEXT
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "serving/worker_channel.h"

namespace tintype {
namespace {

/// The n-th state follows from the one before alone, so that a run that was interrupted anywhere
/// ends with the same bytes.
uint64_t next_state(uint64_t state) { return state * 6364136223846793005u + 1442695040888963407u; }

SharedBlob text_blob(std::string text) {
  return std::make_shared<Blob>(Blob{"text/plain", std::move(text)});
}

class Script {
 public:
  Script(WorkerChannel& channel, int fd) : channel_(channel), fd_(fd) {}

  void cancel(const JobId& id) {
    const std::lock_guard lock(mutex_);
    cancelled_.insert(id);
  }

  void run(Assignment job) {
    std::istringstream words(job.request);
    std::string what;
    words >> what;
    if (what == "noop") {
      std::string all;
      for (const SharedBlob& input : job.inputs) all += input->bytes;
      return succeed(job.id, all, "{}");
    }
    if (what == "die") ::raise(SIGKILL);
    if (what == "garbage") {
      const char bytes[] = "\x05\0\0\0\xffjunk";
      (void)!::write(fd_, bytes, sizeof(bytes));
      return;
    }
    int a = 0, b = 0;
    words >> a >> b;
    if (what == "exit") ::_exit(a);
    if (what == "hang") return;
    if (what == "fail") return channel_.failed(job.id, {ErrorKind::kOutOfMemory, job.request});
    if (what == "print") {
      std::fprintf(stderr, "%s\nand more", job.request.c_str());
      return succeed(job.id, "", "{}");
    }
    const bool dies = what == "die_at";
    if (dies) b = 2;
    const int steps = dies ? 8 : a, fatal = dies && job.attempt == 1 ? a : -1;
    std::thread([this, job = std::move(job), steps, b, fatal] {
      draw(job, steps, b, fatal);
    }).detach();
  }

 private:
  void succeed(const JobId& id, std::string bytes, std::string info) {
    JobResult result;
    ResultInfo file;
    file.width_px = 3;
    file.height_px = 2;
    result.files.emplace_back(file, text_blob(std::move(bytes)));
    result.info = std::move(info);
    channel_.succeeded(id, std::move(result));
  }

  bool is_cancelled(const JobId& id) {
    const std::lock_guard lock(mutex_);
    return cancelled_.count(id) > 0;
  }

  void draw(const Assignment& job, int steps, int ms, int fatal) {
    uint64_t state = 1;
    const int begun = static_cast<int>(job.saved_steps.size());
    if (begun > 0) state = std::stoull(job.saved_steps.back()->bytes);
    for (int step = begun + 1; step <= steps; ++step) {
      std::this_thread::sleep_for(std::chrono::milliseconds(ms));
      if (is_cancelled(job.id)) {
        return channel_.failed(job.id, {ErrorKind::kCancelled, "cancelled"});
      }
      state = next_state(state);
      channel_.step_saved(job.id, text_blob(std::to_string(state)));
      JobProgress progress;
      progress.stage = "denoise";
      progress.step = step;
      progress.steps = steps;
      progress.fraction = static_cast<double>(step) / steps;
      channel_.progress(job.id, progress);
      if (step % 4 == 0) channel_.preview(job.id, step, {text_blob("preview")});
      if (step == fatal) ::raise(SIGKILL);
    }
    succeed(job.id, std::to_string(state), "from " + std::to_string(begun));
  }

  WorkerChannel& channel_;
  int fd_;
  std::mutex mutex_;
  std::set<JobId> cancelled_;
};

}  // namespace
}  // namespace tintype

int main() {
  using namespace tintype;
  const int fd = WorkerChannel::fd_from_environment();
  WorkerChannel channel(fd);
  channel.status({"resident-model"}, 12345, {{"cache_hits", 7}});
  Script script(channel, fd);
  channel.serve({[&](Assignment job) { script.run(std::move(job)); },
                 [&](const JobId& id) { script.cancel(id); }});
  ::_exit(0);
}
