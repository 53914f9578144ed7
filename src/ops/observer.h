/// Who watches the ops that a thread calls: what each computed, from how many bytes, how long it
/// took. Without an observer an op pays for one comparison.
/// Thread-safety: an observer sees the ops of the thread that installed it and no others.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "backend/backend.h"
#include "tensor/tensor.h"

namespace tintype::ops {

/// One call of an op.
struct OpCall {
  std::string op = {};          ///< with what decides its speed: "conv2d 3x3", "linear"
  std::string shape = {};       ///< "2x64x64x320 -> 320"
  std::string arithmetic = {};  ///< of its products, "f32" or "int8"; "" when it has none
  int64_t operations = 0;       ///< of its products: two for each multiplication
  size_t bytes = 0;             ///< operands and result, each once
};

class OpObserver {
 public:
  virtual ~OpObserver() = default;
  /// Before the op runs. Returns what `end` shall be told.
  virtual size_t begin(OpCall call) = 0;
  virtual void end(size_t token, double seconds) noexcept = 0;
};

/// Installs an observer for the ops of this thread as long as it lives; the previous one, if any,
/// sees nothing meanwhile.
class ObserveOps {
 public:
  explicit ObserveOps(OpObserver& observer);
  ~ObserveOps();
  ObserveOps(const ObserveOps&) = delete;
  ObserveOps& operator=(const ObserveOps&) = delete;

 private:
  OpObserver* previous_;
};

/// This thread's observer, or null.
OpObserver* current_observer() noexcept;

/// Times an op from here to the end of the scope. `describe()` makes the OpCall and is called only
/// when somebody watches.
class OpTimer {
 public:
  template <typename Describe>
  explicit OpTimer(const Describe& describe) : observer_(current_observer()) {
    if (!observer_) return;
    token_ = observer_->begin(describe());
    start_ = std::chrono::steady_clock::now();
  }
  ~OpTimer() {
    if (!observer_) return;
    const auto elapsed = std::chrono::steady_clock::now() - start_;
    observer_->end(token_, std::chrono::duration<double>(elapsed).count());
  }
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

 private:
  OpObserver* observer_;
  size_t token_ = 0;
  std::chrono::steady_clock::time_point start_ = {};
};

// What the ops say of themselves.

/// linear and conv2d. x is what the filter slides over, out what it makes.
OpCall describe_product(const Tensor& x, const PackedWeight& weight, const Conv2dGeometry& geometry,
                        const Epilogue& epilogue, const Tensor& out);
OpCall describe_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                          const AttentionOptions& options);
/// An op without products.
OpCall describe_plain(const char* op, std::initializer_list<const Tensor*> inputs,
                      const Tensor& out);

}  // namespace tintype::ops
