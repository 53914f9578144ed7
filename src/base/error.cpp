#include "tintype/error.h"

namespace tintype {
namespace {

std::string message(std::string_view where, std::string_view what) {
  std::string text = "[";
  text.append(where).append("] ").append(what);
  return text;
}

}  // namespace

Error::Error(ErrorKind kind, std::string_view where, std::string_view what)
    : std::runtime_error(message(where, what)), kind_(kind) {}

std::string_view to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return "invalid_argument";
    case ErrorKind::kNotFound:
      return "not_found";
    case ErrorKind::kCorruptFile:
      return "corrupt_file";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kOutOfMemory:
      return "out_of_memory";
    case ErrorKind::kIo:
      return "io";
    case ErrorKind::kQueueFull:
      return "queue_full";
    case ErrorKind::kCancelled:
      return "cancelled";
    case ErrorKind::kDeadlineExceeded:
      return "deadline_exceeded";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "internal";
}

}  // namespace tintype
