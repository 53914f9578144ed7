#include "serving/worker_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "base/check.h"
#include "serving/frames.h"

namespace tintype {

struct WorkerChannel::Impl {
  int fd = -1;
  std::mutex sending;
  bool broken = false;  // guarded by sending

  void try_send(const Message& message);
  void send(const Message& message) {
    const std::string frame = encode_frame(message);
    const std::lock_guard lock(sending);
    size_t sent = 0;
    while (!broken && sent < frame.size()) {
      const ssize_t wrote = ::send(fd, frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
      if (wrote > 0) {
        sent += static_cast<size_t>(wrote);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        pollfd wait{fd, POLLOUT, 0};
        ::poll(&wait, 1, -1);
      } else if (errno != EINTR) {
        broken = true;
      }
    }
  }
};

/// What the job can do without: nothing is sent of it where it is too large.
void WorkerChannel::Impl::try_send(const Message& message) {
  try {
    send(message);
  } catch (const Error&) {
  }
}

int WorkerChannel::fd_from_environment() {
  const char* text = std::getenv(kWorkerFdVariable);
  TT_REQUIRE(text != nullptr, "worker", "must be started by a server: ", kWorkerFdVariable,
             " is not set");
  int fd = -1;
  const char* end = text + std::strlen(text);
  const auto [rest, problem] = std::from_chars(text, end, fd);
  int type = 0;
  socklen_t size = sizeof(type);
  const bool is_socket = problem == std::errc() && rest == end &&
                         ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
  TT_REQUIRE(is_socket, "worker", kWorkerFdVariable, " must name an open socket");
  ::unsetenv(kWorkerFdVariable);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fd;
}

WorkerChannel::WorkerChannel(int fd) : impl_(std::make_unique<Impl>()) {
  impl_->fd = fd;
  impl_->send(message::Hello{});
}

WorkerChannel::~WorkerChannel() { ::close(impl_->fd); }

void WorkerChannel::serve(const Handlers& handlers) {
  FrameBuffer buffer;
  for (;;) {
    const std::span<char> room = buffer.room();
    const ssize_t got = ::recv(impl_->fd, room.data(), room.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      pollfd wait{impl_->fd, POLLIN, 0};
      ::poll(&wait, 1, -1);
      continue;
    }
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return;
    if (got < 0) fail(ErrorKind::kIo, "worker", "cannot read its socket: ", std::strerror(errno));
    buffer.received(static_cast<size_t>(got));
    while (std::optional<Message> next = buffer.next()) {
      if (auto* run = std::get_if<message::Run>(&*next)) {
        handlers.run(std::move(run->assignment));
      } else if (const auto* cancel = std::get_if<message::Cancel>(&*next)) {
        handlers.cancel(cancel->id);
      } else if (std::holds_alternative<message::Quit>(*next)) {
        return;
      } else {
        fail(ErrorKind::kCorruptFile, "worker message", "is not one for a worker: type ",
             next->index());
      }
    }
  }
}

void WorkerChannel::progress(const JobId& id, const JobProgress& progress) {
  impl_->send(message::Progress{id, progress});
}

void WorkerChannel::preview(const JobId& id, int step, std::vector<SharedBlob> previews) {
  impl_->try_send(message::Preview{id, step, std::move(previews)});
}

void WorkerChannel::step_saved(const JobId& id, SharedBlob bytes) {
  impl_->try_send(message::StepSaved{id, std::move(bytes)});
}

void WorkerChannel::succeeded(const JobId& id, JobResult result) {
  try {
    impl_->send(message::Succeeded{id, std::move(result)});
  } catch (const Error& error) {
    failed(id, {error.kind(), error.what()});
  }
}

void WorkerChannel::failed(const JobId& id, JobError error) {
  impl_->send(message::Failed{id, std::move(error)});
}

void WorkerChannel::status(std::vector<std::string> models, uint64_t resident_bytes,
                           std::vector<std::pair<std::string, double>> counters) {
  impl_->send(message::Status{std::move(models), resident_bytes, std::move(counters)});
}

}  // namespace tintype
