#include "base/checksum.h"

#include <array>
#include <bit>
#include <cstring>

namespace tintype {
namespace {

static_assert(std::endian::native == std::endian::little);

// Eight sums side by side hide the latency of the multiplication.
constexpr size_t kLanes = 8;
constexpr size_t kBlock = kLanes * sizeof(uint64_t);
constexpr uint64_t kPrime = 0x9E3779B185EBCA87u;  // odd, so that a step loses nothing

using Lanes = std::array<uint64_t, kLanes>;

/// Every step can be undone, so words that differ in one place give sums that differ.
uint64_t step(uint64_t sum, uint64_t word) { return std::rotl(sum ^ word, 29) * kPrime; }

void add_block(Lanes& lanes, const std::byte* block) {
  for (size_t i = 0; i < kLanes; ++i) {
    uint64_t word;
    std::memcpy(&word, block + i * sizeof(word), sizeof(word));
    lanes[i] = step(lanes[i], word);
  }
}

}  // namespace

uint64_t checksum64(std::span<const std::byte> bytes) {
  Lanes lanes;
  for (size_t i = 0; i < kLanes; ++i) lanes[i] = kPrime * (i + 1);
  size_t at = 0;
  for (; at + kBlock <= bytes.size(); at += kBlock) add_block(lanes, bytes.data() + at);
  if (at < bytes.size()) {
    std::array<std::byte, kBlock> last{};
    std::memcpy(last.data(), bytes.data() + at, bytes.size() - at);
    add_block(lanes, last.data());
  }
  uint64_t sum = bytes.size() * kPrime;  // zeros at the end count
  for (const uint64_t lane : lanes) sum = step(sum, lane);
  sum = (sum ^ (sum >> 32)) * kPrime;
  return sum ^ (sum >> 29);
}

}  // namespace tintype
