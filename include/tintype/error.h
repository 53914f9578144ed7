/// The one exception type of the library. Public: callers catch it. Thread-safe (values only).
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace tintype {

/// What went wrong, in terms a caller can act on. Each kind has one exit code and (later) one HTTP
/// status; both mappings are switches without a default, so a new kind must be mapped to compile.
enum class ErrorKind {
  kInvalidArgument,   ///< the request or a flag is out of range
  kNotFound,          ///< a file or name does not exist
  kCorruptFile,       ///< a file was read and contradicts itself or its format
  kUnsupported,       ///< well formed, but nothing here handles it
  kOutOfMemory,       ///< a budget or the machine's memory would be exceeded
  kIo,                ///< reading or writing failed (permissions, full disk)
  kQueueFull,         ///< try again later
  kCancelled,         ///< the caller asked to stop
  kDeadlineExceeded,  ///< the caller's time limit passed
  kInternal           ///< a defect of ours
};

/// Stable lower-case name of a kind ("invalid_argument"), as printed in JSON.
std::string_view to_string(ErrorKind kind) noexcept;

/// The only exception type this project throws. `where` names the op, file or flag; `what` gives
/// expectation, observation and, when known, the likely cause.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string_view where, std::string_view what);
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace tintype
