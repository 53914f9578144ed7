#include "serving/worker_process.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/check.h"
#include "base/text.h"
#include "serving/child_process.h"
#include "serving/frames.h"

namespace tintype {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kMaxLine = 4096;
/// A child that has closed its socket has this long to exit by itself.
constexpr milliseconds kExitLimit{1000};

}  // namespace

struct WorkerProcess::Impl {
  struct Job {
    std::optional<Clock::time_point> cancelled;
    Clock::time_point last_sign;
    Clock::duration longest_step{0};
  };

  explicit Impl(WorkerProcessOptions given) : options(std::move(given)) {
    status.name = options.name;
    status.device = options.device;
    status.capacity = options.capacity;
  }

  WorkerProcessOptions options;
  WorkerEvents events;
  Descriptor wake;
  std::thread thread;

  mutable std::mutex mutex;  // guards all below
  WorkerStatus status;
  std::unordered_map<JobId, Job> jobs;
  std::deque<std::string> outgoing;
  size_t outgoing_begin = 0;  ///< of the first frame
  int socket = -1;            ///< while a child lives
  bool stopping = false;
  /// Ends that run() saw coming and that the thread tells.
  std::vector<std::pair<JobId, JobError>> refused;
  std::vector<JobId> unsendable;

  void log(std::string_view line) const {
    if (options.log) options.log(printable(line, kMaxLine));
  }
  void wake_up() const {
    const uint64_t one = 1;
    (void)!::write(wake.get(), &one, sizeof(one));
  }

  void live();
  std::string serve(ChildProcess& child);
  std::string end_of(ChildProcess& child, const std::string& our_reason);
  bool pause(milliseconds limit);
  bool flush_outgoing();
  void queue_frame(std::string frame);
  bool read_socket(ChildProcess& child, FrameBuffer& buffer);
  void read_output(const ChildProcess& child, std::string& line) const;
  void handle(Message message);
  bool knows(const JobId& id, bool ends);
  void tell_refused();
  void lose_all(const std::string& reason);
  std::optional<Clock::time_point> next_limit() const;
  int poll_timeout(std::optional<Clock::time_point> limit) const;
};

WorkerProcess::WorkerProcess(WorkerProcessOptions options) {
  constexpr std::string_view kWhere = "worker process";
  TT_REQUIRE(!options.command.empty(), kWhere, "needs a command");
  TT_REQUIRE(options.capacity >= 1, kWhere, "capacity must be > 0, got ", options.capacity);
  options.command[0] = find_program(options.command[0]);
  impl_ = std::make_unique<Impl>(std::move(options));
  impl_->wake = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (impl_->wake.get() < 0) fail(ErrorKind::kIo, kWhere, "no event: ", std::strerror(errno));
}

WorkerProcess::~WorkerProcess() { stop(); }

void WorkerProcess::start(WorkerEvents events) {
  impl_->events = std::move(events);
  impl_->thread = std::thread([this] { impl_->live(); });
}

WorkerStatus WorkerProcess::status() const {
  const std::lock_guard lock(impl_->mutex);
  WorkerStatus out = impl_->status;
  out.running = static_cast<int>(impl_->jobs.size());
  return out;
}

void WorkerProcess::run(Assignment assignment) {
  const JobId id = assignment.id;
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->status.alive) {
    impl_->unsendable.push_back(id);
    impl_->wake_up();
    return;
  }
  try {
    std::string frame = encode_frame(message::Run{std::move(assignment)});
    impl_->jobs[id].last_sign = Clock::now();
    impl_->queue_frame(std::move(frame));
  } catch (const Error& error) {
    impl_->refused.emplace_back(id, JobError{error.kind(), error.what()});
    impl_->wake_up();
  }
}

void WorkerProcess::cancel(const JobId& id) {
  const std::lock_guard lock(impl_->mutex);
  const auto job = impl_->jobs.find(id);
  if (job == impl_->jobs.end() || job->second.cancelled) return;
  job->second.cancelled = Clock::now();
  impl_->queue_frame(encode_frame(message::Cancel{id}));
  impl_->wake_up();  // for the new limit
}

void WorkerProcess::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake_up();
  if (impl_->thread.joinable()) impl_->thread.join();
}

/// Sends what fits now; the thread sends the rest. The caller holds the mutex.
void WorkerProcess::Impl::queue_frame(std::string frame) {
  outgoing.push_back(std::move(frame));
  if (!flush_outgoing()) wake_up();
}

/// True: nothing is left. The caller holds the mutex.
bool WorkerProcess::Impl::flush_outgoing() {
  while (!outgoing.empty() && socket >= 0) {
    const std::string& frame = outgoing.front();
    const ssize_t sent = ::send(socket, frame.data() + outgoing_begin,
                                frame.size() - outgoing_begin, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;  // full, or gone: the thread sees which
    outgoing_begin += static_cast<size_t>(sent);
    if (outgoing_begin < frame.size()) continue;
    outgoing.pop_front();
    outgoing_begin = 0;
  }
  return outgoing.empty();
}

/// One child after the other until stop().
void WorkerProcess::Impl::live() {
  milliseconds rest = options.first_pause;
  for (bool first = true;; first = false) {
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
      if (!first) ++status.restarts;
    }
    const Clock::time_point born = Clock::now();
    std::string reason;
    try {
      ChildProcess child = start_child(options.command, options.env, options.nice);
      log(cat(options.name, " started as process ", child.pid));
      reason = serve(child);
    } catch (const Error& error) {
      reason = cat("could not be started: ", error.what());
    }
    {
      const std::lock_guard lock(mutex);
      status.alive = false;
      status.models.clear();
      status.resident_bytes = 0;
      outgoing.clear();
      outgoing_begin = 0;
    }
    log(cat(options.name, " ", reason));
    // First that it is dead, so that nobody gives it the same job again.
    events.on_change();
    lose_all(reason);
    if (Clock::now() - born >= options.healthy_after) rest = options.first_pause;
    if (!pause(rest)) return;
    rest = std::min(2 * rest, options.last_pause);
  }
}

/// False: stop() was called.
bool WorkerProcess::Impl::pause(milliseconds limit) {
  const Clock::time_point end = Clock::now() + limit;
  for (;;) {
    {
      const std::lock_guard lock(mutex);
      if (stopping) return false;
    }
    tell_refused();
    if (Clock::now() >= end) return true;
    pollfd wait{wake.get(), POLLIN, 0};
    ::poll(&wait, 1, poll_timeout(end));
    uint64_t count;
    (void)!::read(wake.get(), &count, sizeof(count));
  }
}

int WorkerProcess::Impl::poll_timeout(std::optional<Clock::time_point> limit) const {
  if (!limit) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*limit - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
}

/// When a cancelled job has had its time. The caller holds the mutex.
std::optional<Clock::time_point> WorkerProcess::Impl::next_limit() const {
  std::optional<Clock::time_point> first;
  for (const auto& [id, job] : jobs) {
    if (!job.cancelled) continue;
    const Clock::time_point limit = *job.cancelled + options.cancel_limit + job.longest_step;
    if (!first || limit < *first) first = limit;
  }
  return first;
}

/// Talks to the child until it is gone; how it ended.
std::string WorkerProcess::Impl::serve(ChildProcess& child) {
  FrameBuffer buffer;
  std::string line, our_reason;
  std::optional<Clock::time_point> quit_limit;
  {
    const std::lock_guard lock(mutex);
    socket = child.socket.get();
  }
  for (;;) {
    std::optional<Clock::time_point> limit = quit_limit;
    bool waits_to_send = false;
    {
      const std::lock_guard lock(mutex);
      if (stopping && !quit_limit) {
        quit_limit = limit = Clock::now() + options.stop_limit;
        queue_frame(encode_frame(message::Quit{}));
      }
      if (!quit_limit) limit = next_limit();
      waits_to_send = !flush_outgoing();
    }
    tell_refused();
    const short interest = static_cast<short>(POLLIN | (waits_to_send ? POLLOUT : 0));
    pollfd polls[3] = {{child.socket.get(), interest, 0},
                       {wake.get(), POLLIN, 0},
                       {child.output.get(), POLLIN, 0}};
    ::poll(polls, 3, poll_timeout(limit));
    if (polls[1].revents != 0) {
      uint64_t count;
      (void)!::read(wake.get(), &count, sizeof(count));
    }
    if (polls[2].revents != 0) read_output(child, line);
    try {
      if (polls[0].revents != 0 && !read_socket(child, buffer)) break;
    } catch (const Error& error) {
      our_reason = cat("was stopped: it sent a broken message: ", error.what());
      break;
    }
    if (limit && Clock::now() >= *limit) {
      our_reason = quit_limit ? "was stopped" : "was stopped: it did not let go of a cancelled job";
      break;
    }
  }
  {
    const std::lock_guard lock(mutex);
    socket = -1;
  }
  const std::string reason = end_of(child, our_reason);
  read_output(child, line);
  if (!line.empty()) log(line);
  return reason;
}

/// Waits for its end, with force where it does not come or is ours to bring.
std::string WorkerProcess::Impl::end_of(ChildProcess& child, const std::string& our_reason) {
  if (!our_reason.empty()) ::kill(child.pid, SIGKILL);
  const Clock::time_point limit = Clock::now() + kExitLimit;
  int wait_status = 0;
  bool forced = false;
  for (;;) {
    const pid_t done = ::waitpid(child.pid, &wait_status, WNOHANG);
    if (done == child.pid) break;
    if (done < 0 && errno != EINTR) break;
    if (!forced && Clock::now() >= limit) {
      forced = true;
      ::kill(child.pid, SIGKILL);
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
  if (!our_reason.empty()) return our_reason;
  return forced ? "was stopped: it closed its socket" : describe_end(wait_status);
}

/// False: the other end is closed. throws kCorruptFile
bool WorkerProcess::Impl::read_socket(ChildProcess& child, FrameBuffer& buffer) {
  for (;;) {
    const std::span<char> room = buffer.room();
    const ssize_t got = ::recv(child.socket.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    if (got == 0) return false;
    buffer.received(static_cast<size_t>(got));
    while (std::optional<Message> next = buffer.next()) handle(std::move(*next));
    if (static_cast<size_t>(got) < room.size()) return true;
  }
}

void WorkerProcess::Impl::read_output(const ChildProcess& child, std::string& line) const {
  char bytes[4096];
  // Bounded, so that a child that writes without end does not keep the thread.
  for (int round = 0; round < 64; ++round) {
    const ssize_t got = ::read(child.output.get(), bytes, sizeof(bytes));
    if (got <= 0) return;
    for (const char c : std::string_view(bytes, static_cast<size_t>(got))) {
      if (c != '\n' && line.size() < kMaxLine) {
        line += c;
        continue;
      }
      if (!line.empty()) log(line);
      line.clear();
      if (c != '\n') line += c;
    }
  }
}

/// True where the child has this job; what it says of others is not passed on.
bool WorkerProcess::Impl::knows(const JobId& id, bool ends) {
  const std::lock_guard lock(mutex);
  const auto job = jobs.find(id);
  if (job == jobs.end()) return false;
  const Clock::time_point now = Clock::now();
  job->second.longest_step = std::max(job->second.longest_step, now - job->second.last_sign);
  job->second.last_sign = now;
  if (!ends) return true;
  jobs.erase(job);
  ++status.jobs_done;
  return true;
}

void WorkerProcess::Impl::handle(Message any) {
  if (auto* progress = std::get_if<message::Progress>(&any)) {
    if (knows(progress->id, false)) events.on_progress(progress->id, progress->progress);
  } else if (auto* preview = std::get_if<message::Preview>(&any)) {
    if (knows(preview->id, false)) {
      events.on_preview(preview->id, preview->step, std::move(preview->previews));
    }
  } else if (auto* step = std::get_if<message::StepSaved>(&any)) {
    if (knows(step->id, false)) events.on_step_saved(step->id, std::move(step->bytes));
  } else if (auto* success = std::get_if<message::Succeeded>(&any)) {
    if (knows(success->id, true)) events.on_success(success->id, std::move(success->result));
  } else if (auto* failure = std::get_if<message::Failed>(&any)) {
    if (knows(failure->id, true)) events.on_failure(failure->id, std::move(failure->error));
  } else if (auto* news = std::get_if<message::Status>(&any)) {
    bool changed = false;
    {
      const std::lock_guard lock(mutex);
      changed = status.models != news->models;
      status.models = std::move(news->models);
      status.resident_bytes = news->resident_bytes;
      status.counters = std::move(news->counters);
    }
    if (changed) events.on_change();
  } else if (std::holds_alternative<message::Hello>(any)) {
    {
      const std::lock_guard lock(mutex);
      status.alive = !stopping;
    }
    events.on_change();
  } else {
    fail(ErrorKind::kCorruptFile, "worker message", "is not one of a worker: type ", any.index());
  }
}

/// What run() could not hand over.
void WorkerProcess::Impl::tell_refused() {
  std::vector<std::pair<JobId, JobError>> failures;
  std::vector<JobId> lost;
  {
    const std::lock_guard lock(mutex);
    failures.swap(refused);
    lost.swap(unsendable);
  }
  for (auto& [id, error] : failures) events.on_failure(id, std::move(error));
  for (const JobId& id : lost) events.on_lost(id, "is not running");
}

void WorkerProcess::Impl::lose_all(const std::string& reason) {
  std::vector<JobId> lost;
  {
    const std::lock_guard lock(mutex);
    for (const auto& [id, job] : jobs) lost.push_back(id);
    jobs.clear();
  }
  tell_refused();
  for (const JobId& id : lost) events.on_lost(id, reason);
}

}  // namespace tintype
