/// Starting one child with a socket, and how it ended. Linux. One thread owns a child: the system
/// ends it with that thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace tintype {

/// Move-only owner of a descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { reset(); }
  void reset();
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct ChildProcess {
  pid_t pid = -1;
  Descriptor socket;  ///< our end, non-blocking
  Descriptor output;  ///< its standard output and error, non-blocking
};

/// The absolute path of a program. throws kNotFound
std::string find_program(const std::string& name);

/// Starts `command` (its first element a path) with descriptor 3 as its end of the socket, nothing
/// else open but null input and output, a process group of its own, no blocked signals, and the
/// calling thread's end as its own.
/// throws kIo: no descriptors, no process, or the program cannot be executed
ChildProcess start_child(const std::vector<std::string>& command,
                         const std::vector<std::pair<std::string, std::string>>& env, int nice);

/// "was killed by signal 9 (out of memory?)", "ended with code 3"
std::string describe_end(int wait_status);

}  // namespace tintype
