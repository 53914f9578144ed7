#include "base/torch_rng.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace tintype {
namespace {

// PyTorch fills 16 and more floats with an AVX2 kernel (its AVX-512 build keeps that kernel), whose
// log and sincos are the Cephes single-precision polynomials, and whose compiler contracted each
// multiplication that feeds one addition into an FMA. The same operations are spelled out here with
// std::fma, so that every machine of ours draws the same bits as PyTorch does on such a machine.
// No product below feeds a plain addition unless it is exact, hence no -ffp-contract setting of our
// own compiler can change a bit.

/// Natural logarithm of a normal positive float.
/// source  Moshier, Cephes logf
float cephes_log(float x) {
  constexpr float kSqrtHalf = 0.707106781186547524f;
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  // x = fraction * 2^exponent with the fraction in [0.5, 1).
  float exponent = static_cast<float>(static_cast<int32_t>(bits >> 23) - 126);
  const float fraction = std::bit_cast<float>((bits & 0x007FFFFFu) | 0x3F000000u);
  float r = fraction - 1.0f;
  if (fraction < kSqrtHalf) {
    exponent -= 1.0f;
    r += fraction;
  }
  const float z = r * r;
  float y = 7.0376836292e-2f;
  for (const float coefficient :
       {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f,
        2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f})
    y = std::fma(y, r, coefficient);
  y = y * r;
  y = std::fma(y, z, exponent * -2.12194440e-4f);
  y = std::fma(z, -0.5f, y);
  return std::fma(exponent, 0.693359375f, r + y);
}

struct SinCos {
  float sin, cos;
};

/// Sine and cosine of 0 <= x < 8192.
/// source  Moshier, Cephes sinf and cosf
SinCos cephes_sincos(float x) {
  constexpr float kFourOverPi = 1.27323954473516f;
  // The octant rounded up to even: x is reduced to [-pi/4, pi/4] around a multiple of pi/2.
  const uint32_t octant = (static_cast<uint32_t>(x * kFourOverPi) + 1u) & ~1u;
  const float turns = static_cast<float>(octant);
  // Extended precision: pi/4 in three parts.
  x = std::fma(turns, -0.78515625f, x);
  x = std::fma(turns, -2.4187564849853515625e-4f, x);
  x = std::fma(turns, -3.77489497744594108e-8f, x);
  const float z = x * x;

  float even = std::fma(2.443315711809948e-5f, z, -1.388731625493765e-3f);
  even = std::fma(even, z, 4.166664568298827e-2f);
  even = even * z;
  even = std::fma(even, z, z * -0.5f) + 1.0f;

  float odd = std::fma(-1.9515295891e-4f, z, 8.3321608736e-3f);
  odd = std::fma(odd, z, -1.6666654611e-1f);
  odd = odd * z;
  odd = std::fma(odd, x, x);

  const bool swap = (octant & 2u) != 0;
  SinCos result{swap ? even : odd, swap ? odd : even};
  if (octant & 4u) result.sin = -result.sin;
  if ((octant - 2u) & 4u) return result;  // cosine is positive in the first and last quadrant
  result.cos = -result.cos;
  return result;
}

/// Box-Muller on 16 uniforms in place: [0,8) give the radii, [8,16) the angles.
void normal_fill_16(float* data) {
  constexpr float kTwoPi = static_cast<float>(2.0 * std::numbers::pi);
  for (int j = 0; j < 8; ++j) {
    const float radius = std::sqrt(-2.0f * cephes_log(1.0f - data[j]));
    const SinCos angle = cephes_sincos(kTwoPi * data[j + 8]);
    // PyTorch computes value * std + mean even for std 1 and mean 0, which turns -0 into +0.
    data[j] = radius * angle.cos + 0.0f;
    data[j + 8] = radius * angle.sin + 0.0f;
  }
}

constexpr uint32_t kStateWords = 624, kShift = 397;

uint32_t twist(uint32_t upper, uint32_t lower) {
  const uint32_t mixed = (upper & 0x80000000u) | (lower & 0x7FFFFFFFu);
  return (mixed >> 1) ^ ((lower & 1u) ? 0x9908B0DFu : 0u);
}

}  // namespace

TorchRng::TorchRng(uint64_t seed) {
  // PyTorch keeps 64 bits of the seed but starts the generator from the low 32, so that seeds equal
  // modulo 2^32 draw the same numbers; torch.manual_seed(-1) is 2^64 - 1.
  state_[0] = static_cast<uint32_t>(seed);
  for (uint32_t i = 1; i < kStateWords; ++i)
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
}

uint32_t TorchRng::next_u32() {
  if (index_ == static_cast<int>(kStateWords)) {
    for (uint32_t i = 0; i < kStateWords; ++i)
      state_[i] =
          state_[(i + kShift) % kStateWords] ^ twist(state_[i], state_[(i + 1) % kStateWords]);
    index_ = 0;
  }
  uint32_t y = state_[static_cast<size_t>(index_++)];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9D2C5680u;
  y ^= (y << 15) & 0xEFC60000u;
  return y ^ (y >> 18);
}

float TorchRng::uniform_float() { return static_cast<float>(next_u32() & 0xFFFFFFu) * 0x1p-24f; }

double TorchRng::uniform_double() {
  const uint64_t high = next_u32();
  const uint64_t bits = (high << 32) | next_u32();
  return static_cast<double>(bits & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}

double TorchRng::scalar_normal() {
  if (spare_normal_) {
    const double value = *spare_normal_;
    spare_normal_.reset();
    return value;
  }
  const double u1 = uniform_double();
  const double u2 = uniform_double();
  const double radius = std::sqrt(-2.0 * std::log1p(-u2));
  const double theta = 2.0 * std::numbers::pi * u1;
  spare_normal_ = radius * std::sin(theta);
  return radius * std::cos(theta);
}

void TorchRng::randn(std::span<float> out) {
  // The scalar path also serves non-contiguous tensors in PyTorch; ours are all contiguous.
  if (out.size() < 16) {
    for (float& value : out) value = static_cast<float>(scalar_normal());
    return;
  }
  std::generate(out.begin(), out.end(), [this] { return uniform_float(); });
  const size_t whole = out.size() / 16 * 16;
  for (size_t i = 0; i < whole; i += 16) normal_fill_16(out.data() + i);
  if (whole == out.size()) return;
  // A ragged end is drawn anew: the last 16 values from 16 fresh uniforms.
  const std::span<float> tail = out.last(16);
  std::generate(tail.begin(), tail.end(), [this] { return uniform_float(); });
  normal_fill_16(tail.data());
}

}  // namespace tintype
