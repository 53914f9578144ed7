#include "base/checksum.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace tintype {
namespace {

std::vector<std::byte> some_bytes(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 37 + i / 251);
  return bytes;
}

TEST(Checksum, IsTheSameOnEveryMachine) {
  EXPECT_EQ(checksum64({}), 4243321008291591212u);
  EXPECT_EQ(checksum64(some_bytes(1)), 10664600380624987692u);
  EXPECT_EQ(checksum64(some_bytes(1000)), 16277888247090449666u);
}

TEST(Checksum, EveryLengthHasItsOwn) {
  // Also where the bytes are zero: a cut tail is seen.
  std::set<uint64_t> seen;
  for (size_t count = 0; count < 300; ++count)
    seen.insert(checksum64(std::vector<std::byte>(count)));
  EXPECT_EQ(seen.size(), 300u);
}

TEST(Checksum, EveryChangedBitIsSeen) {
  std::vector<std::byte> bytes = some_bytes(150);
  const uint64_t whole = checksum64(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto flip = static_cast<std::byte>(1u << (bit % 8));
    bytes[bit / 8] ^= flip;
    ASSERT_NE(checksum64(bytes), whole) << "bit " << bit;
    bytes[bit / 8] ^= flip;
  }
  // The same change in two words of one lane must not cancel out.
  bytes[7] ^= std::byte{0x80};
  bytes[64 + 7] ^= std::byte{0x80};
  EXPECT_NE(checksum64(bytes), whole);
}

}  // namespace
}  // namespace tintype
