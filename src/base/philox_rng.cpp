#include "base/philox_rng.h"

#include <cmath>

namespace tintype {

PhiloxCounter philox4x32(PhiloxCounter counter, uint64_t key) {
  auto low = static_cast<uint32_t>(key), high = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t second = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {
        static_cast<uint32_t>(second >> 32) ^ counter[1] ^ low, static_cast<uint32_t>(second),
        static_cast<uint32_t>(first >> 32) ^ counter[3] ^ high, static_cast<uint32_t>(first)};
    low += 0x9E3779B9u;   // the golden ratio
    high += 0xBB67AE85u;  // sqrt(3) - 1
  }
  return counter;
}

float philox_normal(uint32_t radius_word, uint32_t angle_word) {
  // Float constants, double arithmetic: as the published Python computes with numpy's promotion.
  constexpr double kTwoPow32Inverse = 2.3283064e-10f;
  constexpr double kTwoPow32InverseTwoPi = static_cast<float>(2.3283064e-10 * 6.2831855);
  const double u = radius_word * kTwoPow32Inverse + kTwoPow32Inverse / 2;
  const double v = angle_word * kTwoPow32InverseTwoPi + kTwoPow32InverseTwoPi / 2;
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::sin(v));
}

void PhiloxRng::randn(std::span<float> out) {
  for (size_t j = 0; j < out.size(); ++j) {
    const PhiloxCounter words = philox4x32(
        {calls_, 0, static_cast<uint32_t>(j), static_cast<uint32_t>(uint64_t{j} >> 32)}, seed_);
    out[j] = philox_normal(words[0], words[1]);
  }
  ++calls_;
}

}  // namespace tintype
