#include "cli/exit_code.h"

#include <algorithm>

namespace tintype::cli {
namespace {

constexpr ErrorKind kAllKinds[] = {ErrorKind::kInvalidArgument,  ErrorKind::kNotFound,
                                   ErrorKind::kCorruptFile,      ErrorKind::kUnsupported,
                                   ErrorKind::kOutOfMemory,      ErrorKind::kIo,
                                   ErrorKind::kQueueFull,        ErrorKind::kCancelled,
                                   ErrorKind::kDeadlineExceeded, ErrorKind::kInternal};

// No default in either switch: a new kind must be mapped to compile.
const char* meaning(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return "a flag or its value is wrong";
    case ErrorKind::kNotFound:
      return "the model or one of its files does not exist";
    case ErrorKind::kCorruptFile:
      return "a file contradicts itself or its format";
    case ErrorKind::kUnsupported:
      return "well formed, but nothing here handles it";
    case ErrorKind::kOutOfMemory:
      return "not enough memory";
    case ErrorKind::kIo:
      return "reading or writing failed (folder, permissions, full disk)";
    case ErrorKind::kQueueFull:
      return "busy, try again later";
    case ErrorKind::kCancelled:
      return "stopped by Ctrl-C or SIGTERM";
    case ErrorKind::kDeadlineExceeded:
      return "--deadline passed";
    case ErrorKind::kInternal:
      return "a defect of this program";
  }
  return "";
}

}  // namespace

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInternal:
      return 1;
    case ErrorKind::kInvalidArgument:
      return 2;
    case ErrorKind::kNotFound:
      return 3;
    case ErrorKind::kCorruptFile:
      return 4;
    case ErrorKind::kUnsupported:
      return 5;
    case ErrorKind::kOutOfMemory:
      return 6;
    case ErrorKind::kIo:
      return 7;
    case ErrorKind::kDeadlineExceeded:
      return 8;
    case ErrorKind::kQueueFull:
      return 9;
    case ErrorKind::kCancelled:
      return 130;  // what shells report for SIGINT
  }
  return 1;
}

std::vector<ExitCodeRow> exit_code_table() {
  std::vector<ExitCodeRow> rows = {{kSuccess, "ok", "the picture was written"}};
  for (const ErrorKind kind : kAllKinds)
    rows.push_back({exit_code(kind), std::string(to_string(kind)), meaning(kind)});
  std::sort(rows.begin(), rows.end(),
            [](const ExitCodeRow& a, const ExitCodeRow& b) { return a.code < b.code; });
  return rows;
}

std::string exit_code_help() {
  std::string out = "Exit codes:\n";
  for (const ExitCodeRow& row : exit_code_table()) {
    const std::string code = std::to_string(row.code);
    out += "  " + std::string(3 - code.size(), ' ') + code + "  " + row.name +
           std::string(19 - row.name.size(), ' ') + row.meaning + "\n";
  }
  return out;
}

}  // namespace tintype::cli
