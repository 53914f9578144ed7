#include "server/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "server/http_client.h"

namespace tintype::testing {

using namespace std::chrono_literals;

ServerProcess::ServerProcess(std::filesystem::path store, int port, std::filesystem::path log,
                             std::vector<std::string> more_arguments)
    : port_(port) {
  const std::filesystem::path models = std::filesystem::path(TT_SOURCE_DIR) / "models";
  std::vector<std::string> arguments = {
      TT_CLI,    "serve",        "--address",       "127.0.0.1",    "--port", std::to_string(port),
      "--store", store.string(), "--model-folders", models.string()};
  arguments.insert(arguments.end(), more_arguments.begin(), more_arguments.end());
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ != 0) return;
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(file, 1);
  ::dup2(file, 2);
  ::execv(pointers[0], pointers.data());
  ::_exit(127);
}

bool ServerProcess::wait_ready() const {
  HttpClient client(port_);
  for (const auto end = std::chrono::steady_clock::now() + 60s;
       std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(20ms)) {
    if (const auto answer = client.get("/readyz"); answer && answer->status == 200) return true;
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != 0) return false;
  }
  return false;
}

void ServerProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int ServerProcess::stop() {
  if (pid_ <= 0) return -1;
  int status = 0;
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::vector<pid_t> ServerProcess::children() const {
  std::vector<pid_t> result;
  const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator(tasks, gone)) {
    std::ifstream list(task.path() / "children");
    for (pid_t child; list >> child;) result.push_back(child);
  }
  return result;
}

int free_port() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ::bind(listener, reinterpret_cast<const sockaddr*>(&address), size);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(listener);
  return ntohs(address.sin_port);
}

}  // namespace tintype::testing
