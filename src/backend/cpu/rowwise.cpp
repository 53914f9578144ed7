#include "backend/cpu/rowwise.h"

#include <cmath>
#include <vector>

#include "backend/cpu/thread_team.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/rowwise.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include <hwy/highway.h>

#include "backend/cpu/functions-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
inline constexpr int64_t kLanes = HWY_LANES(float);

// Work per task, in floats: large enough to hide the hand-over, small enough to balance.
constexpr int64_t kGrain = 1 << 15;

/// Calls body(vector index, count) over [0, n): full vectors, then the tail through a buffer.
template <class Body>
HWY_INLINE void ForVectors(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, n - i);
}

HWY_INLINE Vector LoadUpTo(Floats d, const float* from, int64_t count) {
  if (count == kLanes) return hn::LoadU(d, from);
  HWY_ALIGN float buffer[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) buffer[i] = from[i];
  return hn::Load(d, buffer);
}

HWY_INLINE void StoreUpTo(Floats d, Vector v, float* to, int64_t count) {
  if (count == kLanes) return hn::StoreU(v, d, to);
  HWY_ALIGN float buffer[kLanes];
  hn::Store(v, d, buffer);
  for (int64_t i = 0; i < count; ++i) to[i] = buffer[i];
}

void LayerNormRow(const NormArgs& args, int64_t row) {
  const Floats d;
  const int64_t channels = args.channels;
  const float* x = args.x + row * channels;
  float* out = args.out + row * channels;
  const float scale = 1.0f / static_cast<float>(channels);
  Vector sum = hn::Zero(d);
  ForVectors(channels,
             [&](int64_t c, int64_t n) HWY_ATTR { sum = hn::Add(sum, LoadUpTo(d, x + c, n)); });
  const Vector mean = hn::Mul(hn::SumOfLanes(d, sum), hn::Set(d, scale));
  // Two passes: the row is in the first-level cache, and the variance keeps its digits.
  Vector squares = hn::Zero(d);
  ForVectors(channels, [&](int64_t c, int64_t n) HWY_ATTR {
    Vector delta = hn::Sub(LoadUpTo(d, x + c, n), mean);
    if (n < kLanes) delta = hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(n)), delta);
    squares = hn::MulAdd(delta, delta, squares);
  });
  const float variance = hn::GetLane(hn::SumOfLanes(d, squares)) * scale;
  const Vector inverse = hn::Set(d, 1.0f / std::sqrt(variance + args.eps));
  ForVectors(channels, [&](int64_t c, int64_t n) HWY_ATTR {
    const Vector unit = hn::Mul(hn::Sub(LoadUpTo(d, x + c, n), mean), inverse);
    StoreUpTo(d, hn::MulAdd(unit, LoadUpTo(d, args.weight + c, n), LoadUpTo(d, args.bias + c, n)),
              out + c, n);
  });
}

void LayerNorm(const NormArgs& args) {
  const int64_t rows_per_task = HWY_MAX(kGrain / args.channels, int64_t{1});
  const int64_t tasks = (args.positions + rows_per_task - 1) / rows_per_task;
  parallel_for(tasks, [&](int64_t task, int) HWY_ATTR {
    const int64_t last = HWY_MIN((task + 1) * rows_per_task, args.positions);
    for (int64_t row = task * rows_per_task; row < last; ++row) LayerNormRow(args, row);
  });
}

/// sums[c] and sums[channels + c]: sum and sum of squares of `rows` rows, in double. Double lets
/// one pass over the data give the variance of a group whose mean is far from zero.
void SumChannels(const float* x, int64_t rows, int64_t channels, double* sums) {
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> df;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(dd));
  int64_t c = 0;
  for (; c + 2 * lanes <= channels; c += 2 * lanes) {
    auto sum0 = hn::Zero(dd), square0 = hn::Zero(dd), sum1 = hn::Zero(dd), square1 = hn::Zero(dd);
    for (int64_t r = 0; r < rows; ++r) {
      const auto a = hn::PromoteTo(dd, hn::LoadU(df, x + r * channels + c));
      const auto b = hn::PromoteTo(dd, hn::LoadU(df, x + r * channels + c + lanes));
      sum0 = hn::Add(sum0, a);
      sum1 = hn::Add(sum1, b);
      square0 = hn::MulAdd(a, a, square0);
      square1 = hn::MulAdd(b, b, square1);
    }
    hn::StoreU(sum0, dd, sums + c);
    hn::StoreU(sum1, dd, sums + c + lanes);
    hn::StoreU(square0, dd, sums + channels + c);
    hn::StoreU(square1, dd, sums + channels + c + lanes);
  }
  for (; c < channels; ++c) {
    double sum = 0, square = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const double value = x[r * channels + c];
      sum += value;
      square += value * value;
    }
    sums[c] = sum;
    sums[channels + c] = square;
  }
}

/// factor[c], shift[c] such that the normalised value is x * factor + shift.
void FoldStatistics(const NormArgs& args, const double* partial, int64_t parts, float* factor,
                    float* shift) {
  const int64_t width = args.channels / args.groups;
  const double count = static_cast<double>(args.positions * width);
  for (int g = 0; g < args.groups; ++g) {
    double sum = 0, square = 0;
    for (int64_t part = 0; part < parts; ++part) {
      const double* row = partial + part * 2 * args.channels;
      for (int64_t c = g * width; c < (g + 1) * width; ++c) {
        sum += row[c];
        square += row[args.channels + c];
      }
    }
    const double mean = sum / count;
    const double variance = HWY_MAX(square / count - mean * mean, 0.0);
    const double inverse = 1.0 / std::sqrt(variance + static_cast<double>(args.eps));
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
      factor[c] = static_cast<float>(args.weight[c] * inverse);
      shift[c] = static_cast<float>(args.bias[c] - mean * args.weight[c] * inverse);
    }
  }
}

void ScaleRows(const NormArgs& args, const float* x, int64_t rows, const float* factor,
               const float* shift, float* out) {
  const Floats d;
  for (int64_t r = 0; r < rows; ++r, x += args.channels, out += args.channels) {
    ForVectors(args.channels, [&](int64_t c, int64_t n) HWY_ATTR {
      const Vector y =
          hn::MulAdd(LoadUpTo(d, x + c, n), LoadUpTo(d, factor + c, n), LoadUpTo(d, shift + c, n));
      StoreUpTo(d, Activate(d, y, args.activation), out + c, n);
    });
  }
}

/// `partial` holds images * parts * 2 * channels doubles, `affine` images * 2 * channels floats.
void GroupNorm(const NormArgs& args, int64_t rows_per_part, double* partial, float* affine) {
  const int64_t channels = args.channels;
  const int64_t parts = (args.positions + rows_per_part - 1) / rows_per_part;
  const auto rows_of = [&](int64_t part) {
    return HWY_MIN(rows_per_part, args.positions - part * rows_per_part);
  };
  parallel_for(args.images * parts, [&](int64_t task, int) HWY_ATTR {
    const int64_t image = task / parts, part = task % parts;
    const float* x = args.x + (image * args.positions + part * rows_per_part) * channels;
    SumChannels(x, rows_of(part), channels, partial + task * 2 * channels);
  });
  for (int64_t image = 0; image < args.images; ++image)
    FoldStatistics(args, partial + image * parts * 2 * channels, parts,
                   affine + image * 2 * channels, affine + image * 2 * channels + channels);
  parallel_for(args.images * parts, [&](int64_t task, int) HWY_ATTR {
    const int64_t image = task / parts, part = task % parts;
    const int64_t start = (image * args.positions + part * rows_per_part) * channels;
    const float* factor = affine + image * 2 * channels;
    ScaleRows(args, args.x + start, rows_of(part), factor, factor + channels, args.out + start);
  });
}

void Activation1D(const float* x, int64_t count, Activation activation, float* out) {
  const Floats d;
  parallel_for((count + kGrain - 1) / kGrain, [&](int64_t task, int) HWY_ATTR {
    const int64_t start = task * kGrain;
    ForVectors(HWY_MIN(kGrain, count - start), [&](int64_t i, int64_t n) HWY_ATTR {
      StoreUpTo(d, Activate(d, LoadUpTo(d, x + start + i, n), activation), out + start + i, n);
    });
  });
}

void Geglu(const float* x, int64_t rows, int64_t columns, float* out) {
  const Floats d;
  const int64_t rows_per_task = HWY_MAX(kGrain / columns, int64_t{1});
  parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](int64_t task, int) HWY_ATTR {
    const int64_t last = HWY_MIN((task + 1) * rows_per_task, rows);
    for (int64_t row = task * rows_per_task; row < last; ++row) {
      const float* value = x + row * 2 * columns;
      ForVectors(columns, [&](int64_t c, int64_t n) HWY_ATTR {
        StoreUpTo(d,
                  hn::Mul(LoadUpTo(d, value + c, n), Gelu(d, LoadUpTo(d, value + columns + c, n))),
                  out + row * columns + c, n);
      });
    }
  });
}

void WeightedSum(const SumTerm* terms, size_t term_count, int64_t count, float* out) {
  const Floats d;
  parallel_for((count + kGrain - 1) / kGrain, [&](int64_t task, int) HWY_ATTR {
    const int64_t start = task * kGrain;
    ForVectors(HWY_MIN(kGrain, count - start), [&](int64_t i, int64_t n) HWY_ATTR {
      Vector sum = hn::Mul(hn::Set(d, terms[0].weight), LoadUpTo(d, terms[0].x + start + i, n));
      for (size_t t = 1; t < term_count; ++t)
        sum = hn::MulAdd(hn::Set(d, terms[t].weight), LoadUpTo(d, terms[t].x + start + i, n), sum);
      StoreUpTo(d, sum, out + start + i, n);
    });
  });
}

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <cstring>

#include "tensor/float16.h"

namespace tintype::cpu {

HWY_EXPORT(LayerNorm);
HWY_EXPORT(GroupNorm);
HWY_EXPORT(Activation1D);
HWY_EXPORT(Geglu);
HWY_EXPORT(WeightedSum);

void layer_norm(const NormArgs& args) { HWY_DYNAMIC_DISPATCH(LayerNorm)(args); }

void group_norm(const NormArgs& args) {
  if (args.images * args.positions == 0) return;
  // Parts depend on the shape alone, so the order of summation does too.
  const int64_t rows_per_part = std::max<int64_t>(int64_t{1} << 15, args.channels) / args.channels;
  const int64_t parts = (args.positions + rows_per_part - 1) / rows_per_part;
  std::vector<double> partial(static_cast<size_t>(args.images * parts * 2 * args.channels));
  std::vector<float> affine(static_cast<size_t>(args.images * 2 * args.channels));
  HWY_DYNAMIC_DISPATCH(GroupNorm)(args, rows_per_part, partial.data(), affine.data());
}

void activate(const float* x, int64_t count, Activation activation, float* out) {
  HWY_DYNAMIC_DISPATCH(Activation1D)(x, count, activation, out);
}

void geglu(const float* x, int64_t rows, int64_t columns, float* out) {
  if (columns > 0) HWY_DYNAMIC_DISPATCH(Geglu)(x, rows, columns, out);
}

void weighted_sum(std::span<const SumTerm> terms, int64_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(WeightedSum)(terms.data(), terms.size(), count, out);
}

namespace {

float widen(uint16_t bits, DType from) {
  return from == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}
uint16_t narrow(float value, DType to) {
  return to == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
}

}  // namespace

// Scalar: it runs once over small weights (norms, biases, embeddings) at load.
void cast(const std::byte* x, DType from, int64_t count, DType to, std::byte* out) {
  for (int64_t i = 0; i < count; ++i) {
    float value;
    uint16_t bits;
    if (from == DType::kF32) {
      std::memcpy(&value, x + 4 * i, 4);
    } else {
      std::memcpy(&bits, x + 2 * i, 2);
      value = widen(bits, from);
    }
    if (to == DType::kF32) {
      std::memcpy(out + 4 * i, &value, 4);
    } else {
      bits = narrow(value, to);
      std::memcpy(out + 2 * i, &bits, 2);
    }
  }
}

}  // namespace tintype::cpu
#endif
