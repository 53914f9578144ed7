/// Messages between the server and a worker process: a length, a type and the fields of one
/// message. Neither end trusts the other's bytes: a worker may have been corrupted by what it
/// loaded. Pure functions and one buffer for one thread; no descriptors.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "serving/worker.h"

namespace tintype {

/// Of one frame. The largest are inputs, results and saved steps.
inline constexpr size_t kMaxFrameBytes = size_t{512} << 20;
/// Inputs, results and previews of one job.
inline constexpr size_t kMaxBlobs = 256;
/// Saved steps of one job.
inline constexpr size_t kMaxSavedSteps = 65'535;

namespace message {

// From the server.
struct Run {
  Assignment assignment;
};
struct Cancel {
  JobId id;
};
struct Quit {};

// From the worker.
struct Hello {
  uint32_t version = 1;
};
struct Status {
  std::vector<std::string> models;
  uint64_t resident_bytes = 0;
  std::vector<std::pair<std::string, double>> counters;
};
struct Progress {
  JobId id;
  JobProgress progress;
};
struct Preview {
  JobId id;
  int step = 0;
  std::vector<SharedBlob> previews;
};
struct StepSaved {
  JobId id;
  SharedBlob bytes;
};
struct Succeeded {
  JobId id;
  JobResult result;
};
struct Failed {
  JobId id;
  JobError error;
};

}  // namespace message

using Message = std::variant<message::Run, message::Cancel, message::Quit, message::Hello,
                             message::Status, message::Progress, message::Preview,
                             message::StepSaved, message::Succeeded, message::Failed>;

/// The bytes to send. Texts that are too long for the reader are cut, lists shortened.
/// throws kInvalidArgument: above kMaxFrameBytes
std::string encode_frame(const Message& message);

/// The message in a frame without its length. throws kCorruptFile
Message decode_message(std::string_view payload);

/// Bytes as they come from a socket, cut into messages. Memory grows with what has arrived, never
/// with what a length announces.
class FrameBuffer {
 public:
  /// Room for the next bytes; say with received() how many came.
  std::span<char> room();
  void received(size_t bytes);
  /// The next whole message, if there is one. throws kCorruptFile: stop reading then
  std::optional<Message> next();
  /// True between frames.
  bool empty() const { return begin_ == end_; }

 private:
  std::vector<char> bytes_;
  size_t begin_ = 0, end_ = 0;
};

}  // namespace tintype
