/// Any bytes as what a worker process sends: refused with an Error, or messages that are the same
/// after another way over the wire. Bytes are read as a stream of frames and as one payload.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "fuzz/fuzz_check.h"
#include "serving/frames.h"

namespace tintype {
namespace {

void check_message(const Message& message) {
  const std::string frame = encode_frame(message);
  const Message again = decode_message(std::string_view(frame).substr(4));
  fuzz::require(again.index() == message.index(), "a message keeps its type");
  fuzz::require(encode_frame(again) == frame, "a message reads as it was written");
}

void check_stream(std::string_view bytes) {
  FrameBuffer buffer;
  size_t piece = 1;
  while (!bytes.empty()) {
    const std::span<char> room = buffer.room();
    const size_t size = std::min({bytes.size(), room.size(), piece});
    std::memcpy(room.data(), bytes.data(), size);
    buffer.received(size);
    bytes.remove_prefix(size);
    piece = piece * 3 % 1021 + 1;
    while (const std::optional<Message> message = buffer.next()) check_message(*message);
  }
}

template <typename Read>
void refused_or(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    fuzz::require_file_error(error);
  }
}

}  // namespace
}  // namespace tintype

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  refused_or([&] { check_stream(bytes); });
  refused_or([&] { check_message(decode_message(bytes)); });
  return 0;
}
