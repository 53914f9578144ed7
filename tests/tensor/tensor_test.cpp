#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tensor/allocator.h"
#include "tensor/float16.h"

namespace tintype {
namespace {

TEST(Shape, RefusesNegativeAndOverflowingExtents) {
  EXPECT_THROW((Shape{2, -1}), Error);
  EXPECT_THROW((Shape{int64_t{1} << 40, int64_t{1} << 40}), Error);
  // A zero extent must not hide an overflow that a later reshape would meet.
  EXPECT_THROW((Shape{0, int64_t{1} << 40, int64_t{1} << 40}), Error);
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1}), Error);
  EXPECT_EQ((Shape{}).numel(), 1);
}

TEST(Tensor, ViewsShareBytesAndKeepThemAlive) {
  Tensor view;
  {
    Tensor x = empty_host(Shape{3, 4});
    for (int i = 0; i < 12; ++i) x.mutable_data<float>()[i] = static_cast<float>(i);
    view = x.slice(1, 3).reshape(Shape{2, 2, 2});
  }
  EXPECT_EQ(view.data<float>()[0], 4.0f);
  EXPECT_EQ(view.data<float>()[7], 11.0f);
}

TEST(Tensor, RefusesWhatDoesNotFit) {
  const Tensor x = empty_host(Shape{3, 4});
  EXPECT_THROW(x.reshape(Shape{5}), Error);
  EXPECT_THROW(x.slice(2, 4), Error);
  EXPECT_THROW(x.slice(2, 1), Error);
  EXPECT_THROW(x.data<int32_t>(), Error);
}

TEST(Float16, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = f16_to_f32(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value))));
    } else {
      ASSERT_EQ(f32_to_f16(value), half);
    }
    const float brain = bf16_to_f32(half);
    if (!std::isnan(brain)) {
      ASSERT_EQ(f32_to_bf16(brain), half);
    }
  }
}

TEST(Float16, RoundsToNearestEven) {
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f), f32_to_f16(1.0f));   // a tie goes to even
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f + 0x1p-20f), 0x3C01);  // past it goes up
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);
  EXPECT_EQ(f32_to_f16(0x1.8p-25f), 0x0001);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
}

}  // namespace
}  // namespace tintype
