#include "cli/format.h"

#include <gtest/gtest.h>

#include <limits>

namespace tintype::cli {
namespace {

TEST(Format, Bytes) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1500), "1.5 kB");
  EXPECT_EQ(format_bytes(59'400'000), "59.4 MB");
  EXPECT_EQ(format_bytes(1'720'000'000), "1.72 GB");
}

TEST(Format, Counts) {
  EXPECT_EQ(format_count(77), "77");
  EXPECT_EQ(format_count(12'345), "12.3 K");
  EXPECT_EQ(format_count(859'520'964), "859.5 M");
  EXPECT_EQ(format_count(2'567'463'684), "2.57 G");
}

TEST(Format, Seconds) {
  EXPECT_EQ(format_seconds(0.04), "0.0 s");
  EXPECT_EQ(format_seconds(9.94), "9.9 s");
  EXPECT_EQ(format_seconds(59.4), "59 s");
  EXPECT_EQ(format_seconds(185), "3 min 05 s");
  EXPECT_EQ(format_seconds(7620), "2 h 07 min");
  EXPECT_EQ(format_seconds(std::numeric_limits<double>::infinity()), "over 99 h");
  EXPECT_EQ(format_seconds(std::numeric_limits<double>::quiet_NaN()), "over 99 h");
}

TEST(Format, RatesShowTheLargerNumber) {
  EXPECT_EQ(format_rate(1.52), "1.52 it/s");
  EXPECT_EQ(format_rate(0.25), "4.00 s/it");
}

}  // namespace
}  // namespace tintype::cli
