#include "serving/job_id.h"

#include <sys/random.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>

#include "base/check.h"

namespace tintype {
namespace {

void random_bytes(uint8_t* out, size_t size) {
  while (size > 0) {
    const ssize_t got = ::getrandom(out, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail(ErrorKind::kInternal, "job id", "the system gave no random bytes");
    out += got;
    size -= static_cast<size_t>(got);
  }
}

/// Milliseconds since 1970 in the upper bits, 1/4096 ms in the lower twelve (RFC 9562, section 6.2,
/// method 3); one more than the last where the clock has not moved on.
uint64_t next_tick() {
  static std::mutex mutex;
  static uint64_t last = 0;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ns =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  const uint64_t tick = (ns / 1'000'000) << 12 | (ns % 1'000'000) * 4096 / 1'000'000;
  const std::lock_guard lock(mutex);
  last = tick > last ? tick : last + 1;
  return last;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_dash_position(size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

}  // namespace

JobId JobId::make() {
  std::array<uint8_t, 16> bytes;
  random_bytes(bytes.data() + 8, 8);
  const uint64_t tick = next_tick();
  const uint64_t ms = tick >> 12;
  for (int i = 0; i < 6; ++i) bytes[i] = static_cast<uint8_t>(ms >> (8 * (5 - i)));
  bytes[6] = static_cast<uint8_t>(0x70 | (tick >> 8 & 0x0f));
  bytes[7] = static_cast<uint8_t>(tick);
  bytes[8] = static_cast<uint8_t>(0x80 | (bytes[8] & 0x3f));
  return JobId(bytes);
}

std::optional<JobId> JobId::parse(std::string_view text) {
  if (text.size() != 36) return {};
  std::array<uint8_t, 16> bytes{};
  size_t nibbles = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_dash_position(i)) {
      if (text[i] != '-') return {};
      continue;
    }
    const int value = hex_value(text[i]);
    if (value < 0) return {};
    bytes[nibbles / 2] = static_cast<uint8_t>(bytes[nibbles / 2] << 4 | value);
    ++nibbles;
  }
  return JobId(bytes);
}

std::string JobId::text() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out(36, '-');
  size_t at = 0;
  for (const uint8_t byte : bytes_) {
    if (is_dash_position(at)) ++at;
    out[at++] = kDigits[byte >> 4];
    out[at++] = kDigits[byte & 15];
  }
  return out;
}

}  // namespace tintype

size_t std::hash<tintype::JobId>::operator()(const tintype::JobId& id) const noexcept {
  // The last eight bytes are random.
  uint64_t value;
  std::memcpy(&value, id.bytes().data() + 8, sizeof(value));
  return static_cast<size_t>(value);
}
