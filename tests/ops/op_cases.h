/// The one case table of the ops. It drives correctness against the reference backend, the bitwise
/// second run, the support matrix (docs/ops.md) and the timing (bench/ops).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace tintype::testing {

struct OpCase {
  std::string op;                     ///< "conv2d"
  std::string name;                   ///< "3x3 stride 2, 7x5x20 -> 36"
  std::function<Tensor(Device)> run;  ///< same inputs on every device
  int64_t reduction = 1;              ///< numbers summed for one output
  double operations = 0;              ///< multiplications and additions; 0: not worth timing
  double error = 0;                   ///< allowed, as a part of the greatest output; 0: tolerance()
};

const std::vector<OpCase>& op_cases();

/// Uniform in [-1, 1), the same for a seed everywhere; on `device`.
Tensor random_tensor(const Shape& shape, uint32_t seed, Device device = Device::kCpu);

/// Largest error allowed between a backend and the reference, for outputs of size `scale`: f32
/// rounding grows with the square root of the number of terms; 4 ulp cover the functions.
double tolerance(int64_t reduction, double scale);

}  // namespace tintype::testing
