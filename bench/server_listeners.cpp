// What listeners cost a running server: opens server-sent event streams of all jobs, reads them for
// a while, asks /healthz beside them, and tells how much processor time the server process took.
//   server_listeners PORT SERVER_PID [--listeners N] [--seconds S]
// Run it while the server draws, once with --listeners 0 and once with many.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "server/http_client.h"

namespace {

using Clock = std::chrono::steady_clock;
using tintype::testing::HttpClient;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// User and system time of a process, without its children.
double cpu_seconds(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

int open_stream(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return -1;
  const std::string request =
      "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n\r\n";
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return -1;
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

struct Heard {
  uint64_t bytes = 0, events = 0, closed = 0;
};

Heard listen(const std::vector<int>& streams, double seconds) {
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : streams) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  }
  Heard heard;
  std::vector<epoll_event> ready(256);
  std::vector<char> bytes(1 << 16);
  for (const auto begin = Clock::now(); seconds_since(begin) < seconds;) {
    const int count = ::epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), 100);
    for (int i = 0; i < count; ++i) {
      const int fd = ready[static_cast<size_t>(i)].data.fd;
      const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), 0);
      if (got <= 0) {
        ++heard.closed;
        ::epoll_ctl(poll, EPOLL_CTL_DEL, fd, nullptr);
        continue;
      }
      heard.bytes += static_cast<uint64_t>(got);
      const std::string_view text(bytes.data(), static_cast<size_t>(got));
      for (size_t at = 0; (at = text.find("event: job", at)) != text.npos; ++at) ++heard.events;
    }
  }
  ::close(poll);
  return heard;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "server_listeners PORT SERVER_PID [--listeners N] [--seconds S]\n");
    return 2;
  }
  const int port = std::atoi(argv[1]), pid = std::atoi(argv[2]);
  int listeners = 1000;
  double seconds = 30;
  for (int i = 3; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--listeners") listeners = std::atoi(argv[i + 1]);
    if (std::string(argv[i]) == "--seconds") seconds = std::atof(argv[i + 1]);
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);

  std::vector<int> streams;
  for (int i = 0; i < listeners; ++i) {
    const int fd = open_stream(port);
    if (fd < 0) {
      std::fprintf(stderr, "stream %d cannot be opened\n", i);
      return 1;
    }
    streams.push_back(fd);
  }
  std::vector<double> health;
  const auto begin = Clock::now();
  const double before = cpu_seconds(pid);
  std::thread asking([&] {
    HttpClient client(port);
    while (seconds_since(begin) < seconds) {
      const auto asked = Clock::now();
      if (client.get("/healthz")) health.push_back(seconds_since(asked) * 1000);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  const Heard heard = listen(streams, seconds);
  asking.join();
  const double cpu = cpu_seconds(pid) - before, wall = seconds_since(begin);
  std::sort(health.begin(), health.end());
  if (health.empty()) return 1;
  std::printf(
      "%d listeners, %.1f s: %llu events, %.1f MB, %llu streams closed; server %.2f s of "
      "processor time, %.2f %% of two cores; /healthz median %.2f ms, p99 %.2f ms, worst "
      "%.2f ms (%zu)\n",
      listeners, wall, static_cast<unsigned long long>(heard.events),
      static_cast<double>(heard.bytes) / 1e6, static_cast<unsigned long long>(heard.closed), cpu,
      cpu / wall / 2 * 100, health[health.size() / 2], health[health.size() * 99 / 100],
      health.back(), health.size());
}
