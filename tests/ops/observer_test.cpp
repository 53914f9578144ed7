#include "ops/observer.h"

#include <gtest/gtest.h>

#include <thread>

#include "backend/registry.h"
#include "ops/op_cases.h"
#include "ops/ops.h"

namespace tintype::testing {
namespace {

class Recorder final : public ops::OpObserver {
 public:
  size_t begin(ops::OpCall call) override {
    calls.push_back(std::move(call));
    return calls.size() - 1;
  }
  void end(size_t token, double seconds) noexcept override {
    EXPECT_EQ(token, ended++);
    EXPECT_GE(seconds, 0);
  }
  std::vector<ops::OpCall> calls;
  size_t ended = 0;
};

void run_linear() {
  const auto weight = ops::pack(random_tensor(Shape{6, 4}, 1), Device::kCpu);
  ops::linear(random_tensor(Shape{2, 3, 4}, 2), *weight);
}

TEST(Observer, CountsTheOperationsAndBytesOfProducts) {
  Recorder recorder;
  const Tensor x = random_tensor(Shape{2, 8, 6, 64}, 1), bias = random_tensor(Shape{32}, 2);
  const auto stored = ops::pack(random_tensor(Shape{32, 64, 3, 3}, 3), Device::kCpu);
  const auto int8 =
      ops::pack(random_tensor(Shape{32, 64, 3, 3}, 3), Device::kCpu, WeightFormat::kInt8);
  const Conv2dGeometry halved{
      .stride = 2, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
  {
    const ops::ObserveOps watching(recorder);
    ops::conv2d(x, *stored, halved, {.bias = &bias});
    ops::conv2d(x, *int8, halved);
    const Tensor tokens = x.reshape(Shape{2, 48, 64});
    ops::attention(tokens, tokens, tokens, {.heads = 4});
  }
  ASSERT_EQ(recorder.calls.size(), 3u);
  EXPECT_EQ(recorder.ended, 3u);
  const ops::OpCall& conv = recorder.calls[0];
  EXPECT_EQ(conv.op, "conv2d 3x3");
  EXPECT_EQ(conv.shape, "2x8x6x64 -> 32, stride 2");
  EXPECT_EQ(conv.arithmetic, "f32");
  const int64_t outputs = 2 * 4 * 3 * 32;
  EXPECT_EQ(conv.operations, 2 * outputs * 64 * 9);
  EXPECT_EQ(conv.bytes, x.nbytes() + stored->bytes() + bias.nbytes() + 4 * outputs);
  EXPECT_EQ(recorder.calls[1].arithmetic, "int8");
  EXPECT_EQ(recorder.calls[1].operations, conv.operations);
  EXPECT_LT(recorder.calls[1].bytes, conv.bytes);
  const ops::OpCall& attention = recorder.calls[2];
  EXPECT_EQ(attention.op, "attention 48x48x16");
  EXPECT_EQ(attention.operations, 2 * 2 * 2 * 4 * 48 * 48 * 16);  // q k^T and weights v
  EXPECT_EQ(attention.bytes, 4 * x.nbytes());
}

TEST(Observer, SeesEveryOpOnceAndOnlyItsOwnThreadAndScope) {
  Recorder outer, inner;
  run_linear();
  {
    const ops::ObserveOps watching(outer);
    run_linear();
    {
      const ops::ObserveOps instead(inner);
      run_linear();
    }
    std::thread(run_linear).join();
    const Tensor a = random_tensor(Shape{2, 3}, 1);
    ops::concat_first(a, a);  // made of another op
  }
  run_linear();
  ASSERT_EQ(outer.calls.size(), 2u);
  EXPECT_EQ(outer.calls[0].op, "linear");
  EXPECT_EQ(outer.calls[0].operations, 2 * 2 * 3 * 4 * 6);
  EXPECT_EQ(outer.calls[1].op, "concat");
  EXPECT_EQ(inner.calls.size(), 1u);
}

TEST(Observer, EveryOpOfTheTableReportsItself) {
  for (const OpCase& c : op_cases()) {
    Recorder recorder;
    const ops::ObserveOps watching(recorder);
    c.run(Device::kCpu);
    EXPECT_FALSE(recorder.calls.empty()) << c.op << " " << c.name;
    EXPECT_EQ(recorder.ended, recorder.calls.size()) << c.op << " " << c.name;
  }
}

}  // namespace
}  // namespace tintype::testing
