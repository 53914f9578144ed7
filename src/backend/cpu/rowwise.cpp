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
#include "backend/cpu/quantize_row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {

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

/// Rows on their way out: in place, or through a buffer in the first-level cache.
class RowWriter {
 public:
  RowWriter(const RowOutput& out, int64_t channels)
      : out_(out), channels_(channels), row_(static_cast<size_t>(out.floats ? 0 : channels)) {}
  float* begin(int64_t row) { return out_.floats ? out_.floats + row * channels_ : row_.data(); }
  void end(int64_t row) {
    if (!out_.floats)
      QuantizeRow(row_.data(), channels_, out_.int8_rows + row * int8_row_bytes(channels_));
  }

 private:
  const RowOutput& out_;
  int64_t channels_;
  std::vector<float> row_;
};

void LayerNormRow(const LayerNormArgs& args, int64_t row, float* out) {
  const Floats d;
  const int64_t channels = args.channels;
  const float* x = args.x + row * channels;
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

void LayerNorm(const LayerNormArgs& args) {
  const int64_t rows_per_task = HWY_MAX(kGrain / args.channels, int64_t{1});
  const int64_t tasks = (args.rows + rows_per_task - 1) / rows_per_task;
  parallel_for(tasks, [&](int64_t task, int) HWY_ATTR {
    const int64_t last = HWY_MIN((task + 1) * rows_per_task, args.rows);
    RowWriter writer(args.out, args.channels);
    for (int64_t row = task * rows_per_task; row < last; ++row) {
      LayerNormRow(args, row, writer.begin(row));
      writer.end(row);
    }
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

/// A picture's positions in parts that depend on its shape alone, so that the order of summation
/// does too.
struct Parts {
  int64_t rows, positions, count;
  explicit Parts(const PictureArgs& p)
      : rows(HWY_MAX(kGrain, p.channels) / p.channels),
        positions(p.positions),
        count((p.positions + rows - 1) / rows) {}
  int64_t rows_of(int64_t part) const { return HWY_MIN(rows, positions - part * rows); }
};

/// moments [images, groups, 2]: mean and variance.
void GroupMoments(const PictureArgs& p, int groups, double* moments) {
  const Parts parts(p);
  std::vector<double> partial(static_cast<size_t>(p.images * parts.count * 2 * p.channels));
  parallel_for(p.images * parts.count, [&](int64_t task, int) HWY_ATTR {
    const int64_t image = task / parts.count, part = task % parts.count;
    const float* x = p.x + (image * p.positions + part * parts.rows) * p.channels;
    SumChannels(x, parts.rows_of(part), p.channels, partial.data() + task * 2 * p.channels);
  });
  const int64_t width = p.channels / groups;
  const double count = static_cast<double>(p.positions * width);
  for (int64_t i = 0; i < p.images * groups; ++i) {
    const int64_t image = i / groups, first = i % groups * width;
    double sum = 0, square = 0;
    for (int64_t part = 0; part < parts.count; ++part) {
      const double* row = partial.data() + (image * parts.count + part) * 2 * p.channels;
      for (int64_t c = first; c < first + width; ++c) {
        sum += row[c];
        square += row[p.channels + c];
      }
    }
    const double mean = sum / count;
    moments[2 * i] = mean;
    moments[2 * i + 1] = HWY_MAX(square / count - mean * mean, 0.0);
  }
}

/// factor[c], shift[c] of one image such that the normalised value is x * factor + shift.
template <typename T>
void FoldMoments(const GroupNormArgs& args, int64_t channels, const T* moments, float* factor,
                 float* shift) {
  const int64_t width = channels / args.groups;
  for (int64_t c = 0; c < channels; ++c) {
    const double mean = moments[c / width * 2], variance = moments[c / width * 2 + 1];
    const double inverse = 1.0 / std::sqrt(variance + static_cast<double>(args.eps));
    factor[c] = static_cast<float>(args.weight[c] * inverse);
    shift[c] = static_cast<float>(args.bias[c] - mean * args.weight[c] * inverse);
  }
}

/// Rows first..first+rows-1 of a picture.
void ScaleRows(const PictureArgs& p, int64_t first, int64_t rows, const float* factor,
               const float* shift, const GroupNormArgs& args) {
  const Floats d;
  const int64_t channels = p.channels;
  RowWriter writer(args.out, channels);
  for (int64_t row = first; row < first + rows; ++row) {
    const float* x = p.x + row * channels;
    float* out = writer.begin(row);
    ForVectors(channels, [&](int64_t c, int64_t n) HWY_ATTR {
      const Vector y =
          hn::MulAdd(LoadUpTo(d, x + c, n), LoadUpTo(d, factor + c, n), LoadUpTo(d, shift + c, n));
      StoreUpTo(d, Activate(d, y, args.activation), out + c, n);
    });
    writer.end(row);
  }
}

void GroupNorm(const PictureArgs& p, const GroupNormArgs& args) {
  std::vector<float> affine(static_cast<size_t>(p.images * 2 * p.channels));
  std::vector<double> own(static_cast<size_t>(args.moments ? 0 : p.images * args.groups * 2));
  if (!args.moments) GroupMoments(p, args.groups, own.data());
  for (int64_t image = 0; image < p.images; ++image) {
    float *factor = affine.data() + image * 2 * p.channels, *shift = factor + p.channels;
    const int64_t first = image * args.groups * 2;
    if (args.moments)
      FoldMoments(args, p.channels, args.moments + first, factor, shift);
    else
      FoldMoments(args, p.channels, own.data() + first, factor, shift);
  }
  const Parts parts(p);
  parallel_for(p.images * parts.count, [&](int64_t task, int) HWY_ATTR {
    const int64_t image = task / parts.count, part = task % parts.count;
    const float* factor = affine.data() + image * 2 * p.channels;
    ScaleRows(p, image * p.positions + part * parts.rows, parts.rows_of(part), factor,
              factor + p.channels, args);
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

void Geglu(const float* x, int64_t rows, int64_t columns, const RowOutput& output) {
  const Floats d;
  const int64_t rows_per_task = HWY_MAX(kGrain / columns, int64_t{1});
  parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](int64_t task, int) HWY_ATTR {
    const int64_t last = HWY_MIN((task + 1) * rows_per_task, rows);
    RowWriter writer(output, columns);
    for (int64_t row = task * rows_per_task; row < last; ++row) {
      const float* value = x + row * 2 * columns;
      float* out = writer.begin(row);
      ForVectors(columns, [&](int64_t c, int64_t n) HWY_ATTR {
        StoreUpTo(d,
                  hn::Mul(LoadUpTo(d, value + c, n), Gelu(d, LoadUpTo(d, value + columns + c, n))),
                  out + c, n);
      });
      writer.end(row);
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
HWY_EXPORT(GroupMoments);
HWY_EXPORT(GroupNorm);
HWY_EXPORT(Activation1D);
HWY_EXPORT(Geglu);
HWY_EXPORT(WeightedSum);

void layer_norm(const LayerNormArgs& args) { HWY_DYNAMIC_DISPATCH(LayerNorm)(args); }

void group_moments(const PictureArgs& picture, int groups, float* out) {
  std::vector<double> moments(static_cast<size_t>(picture.images * groups * 2));
  HWY_DYNAMIC_DISPATCH(GroupMoments)(picture, groups, moments.data());
  for (const double moment : moments) *out++ = static_cast<float>(moment);
}

void group_norm(const PictureArgs& picture, const GroupNormArgs& args) {
  if (picture.images * picture.positions == 0) return;
  HWY_DYNAMIC_DISPATCH(GroupNorm)(picture, args);
}

void activate(const float* x, int64_t count, Activation activation, float* out) {
  HWY_DYNAMIC_DISPATCH(Activation1D)(x, count, activation, out);
}

void geglu(const float* x, int64_t rows, int64_t columns, const RowOutput& out) {
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
