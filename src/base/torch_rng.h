/// PyTorch's CPU random generator (mt19937), bit for bit: `rng: torch` of the noise contract.
/// One object is one stream; not thread-safe.
/// source  pytorch aten/src/ATen/core/MT19937RNGEngine.h, core/DistributionsHelper.h,
///         native/cpu/DistributionTemplates.h (normal_fill_AVX2 and the scalar path)
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace tintype {

class TorchRng {
 public:
  /// torch.Generator().manual_seed(seed); a negative seed there is seed + 2^64 here.
  explicit TorchRng(uint64_t seed);
  /// torch.randn(out.size(), generator=g) in float32, continuing the stream as PyTorch does. Below
  /// 16 numbers PyTorch draws pairs in double and keeps an odd second value for the next such call,
  /// whatever is drawn in between; from 16 on it draws blocks of 16 in float.
  void randn(std::span<float> out);

 private:
  uint32_t next_u32();
  float uniform_float();    ///< 24 bits, [0, 1)
  double uniform_double();  ///< 53 bits, [0, 1)
  double scalar_normal();

  std::array<uint32_t, 624> state_;
  int index_ = 624;
  std::optional<double> spare_normal_;
};

}  // namespace tintype
