// Attention keeps no [S,T] matrix: what others call attention slicing has nothing left to save.
#include <gtest/gtest.h>

#include "base/process_memory.h"
#include "ops/ops.h"

namespace tintype {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // their own memory grows beside ours
#else
constexpr bool kSanitized = false;
#endif

TEST(AttentionMemory, ThePictureSizedSelfAttentionOfSd15TakesNoMatrix) {
  if (kSanitized) GTEST_SKIP() << "sanitizers have memory of their own";
  // 512 x 512: 4096 tokens, 8 heads of 40. The matrices of one image take 537 MB.
  constexpr int64_t kTokens = 4096, kHeads = 8, kWidth = 320;
  constexpr uint64_t kMatrices = kHeads * kTokens * kTokens * sizeof(float);
  Tensor x = ops::empty(Shape{1, kTokens, kWidth}, DType::kF32, Device::kCpu);
  for (float& value : x.mutable_span<float>()) value = 0.01f;
  for (const bool int8 : {false, true}) {
    const uint64_t before = peak_resident_bytes();
    ASSERT_GT(before, 0u);
    const Tensor y = ops::attention(x, x, x, {.heads = kHeads, .scale = 0.158f, .int8 = int8});
    const uint64_t grown = peak_resident_bytes() - before;
    EXPECT_NEAR(y.data<float>()[0], 0.01f, 1e-3f);
    // The result is 5 MB; the rest is the threads' tiles and, in 8 bits, packed keys and values.
    EXPECT_LT(grown, kMatrices / 16) << (int8 ? "int8" : "f32");
    RecordProperty(int8 ? "int8_bytes" : "f32_bytes", std::to_string(grown));
  }
}

}  // namespace
}  // namespace tintype
