/// The random numbers of PyTorch on NVIDIA GPUs as A1111 reproduces them on the CPU ("NV"): `rng:
/// philox` of the noise contract, and the counter-based generator under it.
/// One PhiloxRng is one stream, not thread-safe; the functions are pure.
/// source  Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (philox4x32-10);
///         A1111 modules/rng_philox.py for counters and constants of the Box-Muller transform
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace tintype {

using PhiloxCounter = std::array<uint32_t, 4>;

/// Ten rounds of philox4x32: four words that depend on every bit of counter and key.
PhiloxCounter philox4x32(PhiloxCounter counter, uint64_t key);

/// Two words as a standard normal number: radius from the first, sine of the angle from the second.
float philox_normal(uint32_t radius_word, uint32_t angle_word);

class PhiloxRng {
 public:
  /// torch.manual_seed(seed) for the GPU; a negative seed there is seed + 2^64 here.
  explicit PhiloxRng(uint64_t seed) : seed_(seed) {}
  /// torch.randn(out.size(), device="cuda"): value j of the k-th call depends on seed, k and j
  /// only.
  void randn(std::span<float> out);

 private:
  uint64_t seed_;
  uint32_t calls_ = 0;
};

}  // namespace tintype
