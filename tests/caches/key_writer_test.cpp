#include "caches/key_writer.h"

#include <gtest/gtest.h>

#include <array>

namespace tintype::testing {
namespace {

TEST(KeyWriter, PartsDoNotRunIntoEachOther) {
  EXPECT_NE(KeyWriter().add("ab").add("c").take(), KeyWriter().add("a").add("bc").take());
  EXPECT_NE(KeyWriter().add("").add("a").take(), KeyWriter().add("a").add("").take());
  EXPECT_NE(KeyWriter().add("a").take(), KeyWriter().add("a").add("").take());
  const std::array<int32_t, 2> two = {1, 2};
  EXPECT_NE(KeyWriter().add(std::span<const int32_t>(two)).take(),
            KeyWriter().add(two[0]).add(two[1]).take());
}

TEST(KeyWriter, TheSamePartsAreTheSameKey) {
  const auto key = [] { return KeyWriter().add("fox").add(int64_t{3}).add(0.5f).take(); };
  EXPECT_EQ(key(), key());
}

}  // namespace
}  // namespace tintype::testing
