#include "adapters/layer_delta.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "ops/ops.h"

namespace tintype {
namespace {

using T = AdapterTensor;

/// A matrix of f32 in memory, for the little arithmetic that packing takes.
struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<float> values;
  float& at(int64_t r, int64_t c) { return values[static_cast<size_t>(r * columns + c)]; }
  float at(int64_t r, int64_t c) const { return values[static_cast<size_t>(r * columns + c)]; }
};

Matrix zeros(int64_t rows, int64_t columns) {
  return {rows, columns, std::vector<float>(static_cast<size_t>(rows * columns), 0.0f)};
}

/// [first axis, all others].
Matrix matrix(const Tensor& x) {
  const Tensor wide = ops::cast(x, DType::kF32);
  const std::span<const float> values = wide.span<float>();
  const int64_t rows = x.dim(0);
  return {rows, rows ? x.numel() / rows : 0, {values.begin(), values.end()}};
}

Tensor tensor_of(const Matrix& m, const Shape& shape) {
  return host_tensor(shape, std::span<const float>(m.values));
}

/// As a product of tensors: of a whole model's layers it is minutes by hand.
Matrix product(const Matrix& a, const Matrix& b) {
  if (a.values.empty() || b.values.empty()) return zeros(a.rows, b.columns);
  Matrix turned = zeros(b.columns, b.rows);
  for (int64_t k = 0; k < b.rows; ++k)
    for (int64_t j = 0; j < b.columns; ++j) turned.at(j, k) = b.at(k, j);
  const auto packed =
      ops::pack(tensor_of(turned, Shape{turned.rows, turned.columns}), Device::kCpu);
  return matrix(ops::linear(tensor_of(a, Shape{a.rows, a.columns}), *packed));
}

int64_t columns_of(const Shape& slot) { return slot.numel() / std::max<int64_t>(slot[0], 1); }
int64_t taps_of(const Shape& slot) { return slot.rank() == 4 ? slot[2] * slot[3] : 1; }

bool is_hada(const LayerTensors& l) { return l.has(T::kHadaW1A); }
bool is_lokr(const LayerTensors& l) { return l.has(T::kLokrW1) || l.has(T::kLokrW1A); }
bool is_dora(const LayerTensors& l) { return l.has(T::kMagnitude) || l.has(T::kDoraScale); }

/// A matrix [rows,columns], also stored as [rows,columns,1,1].
bool is_matrix(const Tensor& x, int64_t rows, int64_t columns) {
  const Shape& s = x.shape();
  return s == Shape{rows, columns} || s == Shape{rows, columns, 1, 1};
}

/// Tucker form: core [a,b,kh,kw], first [b',columns], second [a',rows] ->
/// [rows, columns*kh*kw], sum_ij core[i,j,..] first[j,c] second[i,r].
Matrix tucker(const Tensor& core, const Tensor& first, const Tensor& second) {
  const Matrix c = matrix(core), f = matrix(first), s = matrix(second);
  const int64_t taps = core.dim(2) * core.dim(3), inner = core.dim(1);
  Matrix half = zeros(c.rows, f.columns * taps);  // [i, columns*taps]
  for (int64_t i = 0; i < c.rows; ++i)
    for (int64_t j = 0; j < inner; ++j)
      for (int64_t col = 0; col < f.columns; ++col)
        for (int64_t t = 0; t < taps; ++t)
          half.at(i, col * taps + t) += c.at(i, j * taps + t) * f.at(j, col);
  Matrix out = zeros(s.columns, half.columns);
  for (int64_t i = 0; i < c.rows; ++i)
    for (int64_t r = 0; r < s.columns; ++r)
      for (int64_t k = 0; k < half.columns; ++k) out.at(r, k) += s.at(i, r) * half.at(i, k);
  return out;
}

Matrix lokr_first(const LayerTensors& l) {
  return l.has(T::kLokrW1) ? matrix(l[T::kLokrW1])
                           : product(matrix(l[T::kLokrW1A]), matrix(l[T::kLokrW1B]));
}

Matrix lokr_second(const LayerTensors& l) {
  if (l.has(T::kLokrW2)) return matrix(l[T::kLokrW2]);
  if (l.has(T::kLokrT2)) return tucker(l[T::kLokrT2], l[T::kLokrW2B], l[T::kLokrW2A]);
  return product(matrix(l[T::kLokrW2A]), matrix(l[T::kLokrW2B]));
}

Matrix hada_side(const LayerTensors& l, T core, T a, T b) {
  return l.has(core) ? tucker(l[core], l[b], l[a]) : product(matrix(l[a]), matrix(l[b]));
}

/// The change as one matrix [N, K*taps], without the scale. Its columns are the slot's: channel,
/// then tap.
Matrix whole_change(const LayerTensors& l, const Shape& slot) {
  if (l.has(T::kDiff)) return matrix(l[T::kDiff]);
  if (is_hada(l)) {
    Matrix first = hada_side(l, T::kHadaT1, T::kHadaW1A, T::kHadaW1B);
    const Matrix second = hada_side(l, T::kHadaT2, T::kHadaW2A, T::kHadaW2B);
    for (size_t i = 0; i < first.values.size(); ++i) first.values[i] *= second.values[i];
    return first;
  }
  if (is_lokr(l)) {
    const Matrix first = lokr_first(l), second = lokr_second(l);
    Matrix out = zeros(first.rows * second.rows, first.columns * second.columns);
    for (int64_t r = 0; r < out.rows; ++r)
      for (int64_t c = 0; c < out.columns; ++c)
        out.at(r, c) = first.at(r / second.rows, c / second.columns) *
                       second.at(r % second.rows, c % second.columns);
    return out;
  }
  if (l.has(T::kMid)) {
    // [R',R,kh,kw] behind [R,I]: one convolution [R',I,kh,kw].
    const Matrix mid = matrix(l[T::kMid]), down = matrix(l[T::kDown]);
    const int64_t taps = taps_of(slot);
    Matrix both = zeros(mid.rows, down.columns * taps);
    for (int64_t o = 0; o < mid.rows; ++o)
      for (int64_t r = 0; r < down.rows; ++r)
        for (int64_t i = 0; i < down.columns; ++i)
          for (int64_t t = 0; t < taps; ++t)
            both.at(o, i * taps + t) += mid.at(o, r * taps + t) * down.at(r, i);
    return product(matrix(l[T::kUp]), both);
  }
  return product(matrix(l[T::kUp]), matrix(l[T::kDown]));
}

/// The form in which a change is multiplied.
enum class Form {
  kLowRank,   // up, down as they are
  kHadaRank,  // two products of rank r, entry by entry: one of rank r1 * r2
  kKronRank,  // a Kronecker product with a low-rank second factor
  kWhole      // a matrix as large as the weight
};

/// Ranks up to this part of the weight's smaller side cost less than the whole change.
constexpr int64_t kWorthwhile = 2;

int64_t hada_rank(const LayerTensors& l) { return l[T::kHadaW1B].dim(0) * l[T::kHadaW2B].dim(0); }

Form form_of(const LayerTensors& l, const Shape& slot) {
  const int64_t side = std::min(slot[0], columns_of(slot));
  if (l.has(T::kUp)) return Form::kLowRank;
  if (is_hada(l) && !l.has(T::kHadaT1) && hada_rank(l) * kWorthwhile <= side)
    return Form::kHadaRank;
  if (is_lokr(l) && l.has(T::kLokrW2B) && !l.has(T::kLokrT2) && slot.rank() == 2 && !is_dora(l)) {
    const int64_t blocks = slot[1] / std::max<int64_t>(l[T::kLokrW2B].dim(1), 1);
    if (blocks * l[T::kLokrW2B].dim(0) * kWorthwhile <= side) return Form::kKronRank;
  }
  return Form::kWhole;
}

/// A change as large as the weight takes as much memory: in f16 where its numbers fit.
Tensor narrow(const Matrix& m, const Shape& shape) {
  constexpr float kMost = 60000;
  const bool fits =
      std::all_of(m.values.begin(), m.values.end(), [](float v) { return std::fabs(v) < kMost; });
  const Tensor wide = tensor_of(m, shape);
  return fits ? ops::cast(wide, DType::kF16) : wide;
}

/// [R, ...] of the slot's inputs.
Shape down_shape(int64_t rank, const Shape& slot) {
  return slot.rank() == 4 ? slot.with(0, rank) : Shape{rank, slot[1]};
}

/// Where a change is multiplied, and in what the layer is: the first product of the change rounds
/// its inputs as the layer does, so that rounding them once serves both.
struct Place {
  Device device;
  WeightFormat format;
};

void pack_hada(const LayerTensors& l, const Shape& slot, const Place& place,
               nn::LayerDelta& delta) {
  const Matrix a1 = matrix(l[T::kHadaW1A]), b1 = matrix(l[T::kHadaW1B]);
  const Matrix a2 = matrix(l[T::kHadaW2A]), b2 = matrix(l[T::kHadaW2B]);
  Matrix up = zeros(a1.rows, b1.rows * b2.rows), down = zeros(b1.rows * b2.rows, b1.columns);
  for (int64_t i = 0; i < b1.rows; ++i)
    for (int64_t j = 0; j < b2.rows; ++j) {
      const int64_t r = i * b2.rows + j;
      for (int64_t n = 0; n < a1.rows; ++n) up.at(n, r) = a1.at(n, i) * a2.at(n, j);
      for (int64_t k = 0; k < b1.columns; ++k) down.at(r, k) = b1.at(i, k) * b2.at(j, k);
    }
  delta.up = ops::pack(tensor_of(up, Shape{up.rows, up.columns}), place.device);
  delta.down = ops::pack(tensor_of(down, down_shape(down.rows, slot)), place.device, place.format);
}

/// Its first product takes runs of channels, which rows in 8 bits cannot be cut into.
void pack_kron(const LayerTensors& l, Device device, nn::LayerDelta& delta) {
  const Matrix first = lokr_first(l), a = matrix(l[T::kLokrW2A]);
  Matrix up = zeros(first.rows * a.rows, first.columns * a.columns);
  for (int64_t n = 0; n < up.rows; ++n)
    for (int64_t r = 0; r < up.columns; ++r)
      up.at(n, r) = first.at(n / a.rows, r / a.columns) * a.at(n % a.rows, r % a.columns);
  delta.blocks = first.columns;
  delta.down = ops::pack(l[T::kLokrW2B], device);
  delta.up = ops::pack(tensor_of(up, Shape{up.rows, up.columns}), device);
}

void pack_low_rank(const LayerTensors& l, const Shape& slot, const Place& place,
                   nn::LayerDelta& delta) {
  const Tensor &down = l[T::kDown], &up = l[T::kUp];
  const int64_t rank = up.dim(1);
  delta.up = ops::pack(up.reshape(Shape{slot[0], rank}), place.device);
  const bool mid = l.has(T::kMid);
  if (mid) delta.mid = ops::pack(l[T::kMid], place.device);
  const Shape shape = mid ? Shape{down.dim(0), slot[1], 1, 1} : down_shape(rank, slot);
  delta.down = ops::pack(down.reshape(shape), place.device, place.format);
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// The squares that the norms of W + s D follow from, row by row. Through W down^T where the change
/// has a rank, which is a small part of reading it out.
nn::MagnitudeChange magnitude_of(const LayerTensors& l, const Tensor& weight) {
  const Tensor& given = l.has(T::kMagnitude) ? l[T::kMagnitude] : l[T::kDoraScale];
  nn::MagnitudeChange m{.magnitude = matrix(given).values};
  const int64_t rows = weight.dim(0), columns = weight.numel() / rows;
  const Tensor w = ops::cast(weight, DType::kF32).reshape(Shape{rows, columns});
  const auto row_of = [](const Tensor& x, int64_t r) {
    return x.span<float>().subspan(static_cast<size_t>(r * x.dim(1)),
                                   static_cast<size_t>(x.dim(1)));
  };
  const bool low_rank = l.has(T::kUp) && !l.has(T::kMid);
  if (!low_rank) {
    const Matrix change = whole_change(l, weight.shape());
    const Tensor d = tensor_of(change, Shape{rows, columns});
    for (int64_t n = 0; n < rows; ++n) {
      m.weight_squares.push_back(dot(row_of(w, n), row_of(w, n)));
      m.products.push_back(dot(row_of(w, n), row_of(d, n)));
      m.change_squares.push_back(dot(row_of(d, n), row_of(d, n)));
    }
    return m;
  }
  const Matrix up = matrix(l[T::kUp]);
  const Tensor down = ops::cast(l[T::kDown], DType::kF32).reshape(Shape{up.columns, columns});
  const auto packed = ops::pack(down, Device::kCpu);
  const Tensor crossed = ops::linear(w, *packed), squared = ops::linear(down, *packed);
  for (int64_t n = 0; n < rows; ++n) {
    const std::span<const float> u = std::span(up.values).subspan(
        static_cast<size_t>(n * up.columns), static_cast<size_t>(up.columns));
    double change = 0;
    for (int64_t r = 0; r < up.columns; ++r)
      change += u[static_cast<size_t>(r)] * dot(row_of(squared, r), u);
    m.weight_squares.push_back(dot(row_of(w, n), row_of(w, n)));
    m.products.push_back(dot(row_of(crossed, n), u));
    m.change_squares.push_back(change);
  }
  return m;
}

/// What the formulas of the kinds leave out. A change without a rank is as it is; alpha says
/// nothing about it.
float scale_of(const LayerTensors& l) {
  if (l.scale) return static_cast<float>(*l.scale);
  const int64_t rank = layer_rank(l);
  return l.alpha && rank > 0 ? static_cast<float>(*l.alpha / static_cast<double>(rank)) : 1.0f;
}

std::string lora_fault(const LayerTensors& l, const Shape& slot) {
  if (!l.has(T::kUp) || !l.has(T::kDown)) return cat("has no ", l.has(T::kUp) ? "down" : "up");
  const Tensor &down = l[T::kDown], &up = l[T::kUp];
  if (down.rank() < 2 || up.rank() < 2 || down.dim(0) < 1) return "down and up must be matrices";
  const int64_t rank = up.dim(1);
  if (!is_matrix(up, slot[0], rank))
    return cat("up must be ", Shape{slot[0], rank}, ", got ", up.shape());
  if (l.has(T::kMid)) {
    if (slot.rank() != 4) return "mid belongs to convolutions";
    if (!is_matrix(down, down.dim(0), slot[1]))
      return cat("down must be ", Shape{down.dim(0), slot[1]}, ", got ", down.shape());
    const Shape mid{rank, down.dim(0), slot[2], slot[3]};
    if (l[T::kMid].shape() != mid) return cat("mid must be ", mid, ", got ", l[T::kMid].shape());
    return {};
  }
  const Shape wanted = down_shape(rank, slot);
  const bool fits =
      down.shape() == wanted || (taps_of(slot) == 1 && is_matrix(down, rank, slot[1]));
  return fits ? std::string() : cat("down must be ", wanted, ", got ", down.shape());
}

/// Of a factor a (times b, through a core): rows and columns; columns 0 where they do not fit.
struct Extent {
  int64_t rows = 0, columns = 0;
};

Extent pair_extent(const LayerTensors& l, T core, T a, T b) {
  if (!l.has(a) || !l.has(b) || l[a].rank() != 2 || l[b].rank() < 2) return {};
  if (l.has(core)) {
    const Shape& c = l[core].shape();
    if (c.rank() != 4 || c[0] != l[a].dim(0) || c[1] != l[b].dim(0) || l[b].rank() != 2) return {};
    return {l[a].dim(1), l[b].dim(1) * c[2] * c[3]};
  }
  if (l[a].dim(1) != l[b].dim(0) || l[a].dim(1) < 1) return {};
  return {l[a].dim(0), l[b].numel() / l[b].dim(0)};
}

std::string hada_fault(const LayerTensors& l, const Shape& slot) {
  if (l.has(T::kHadaT1) != l.has(T::kHadaT2)) return "hada_t1 and hada_t2 come together";
  for (const auto& [core, a, b] : {std::array{T::kHadaT1, T::kHadaW1A, T::kHadaW1B},
                                   std::array{T::kHadaT2, T::kHadaW2A, T::kHadaW2B}}) {
    const Extent e = pair_extent(l, core, a, b);
    if (e.rows != slot[0] || e.columns != columns_of(slot))
      return cat("hada factors must make ", Shape{slot[0], columns_of(slot)}, ", got ",
                 Shape{e.rows, e.columns});
  }
  return {};
}

std::string lokr_fault(const LayerTensors& l, const Shape& slot) {
  const auto extent = [&](T whole, T core, T a, T b) {
    if (!l.has(whole)) return pair_extent(l, core, a, b);
    if (l[whole].rank() < 2 || l[whole].dim(0) < 1) return Extent{};
    return Extent{l[whole].dim(0), l[whole].numel() / l[whole].dim(0)};
  };
  const Extent first = extent(T::kLokrW1, T::kDiff, T::kLokrW1A, T::kLokrW1B);
  const Extent second = extent(T::kLokrW2, T::kLokrT2, T::kLokrW2A, T::kLokrW2B);
  const bool small = first.rows <= slot[0] && first.columns <= slot[1] && second.rows <= slot[0] &&
                     second.columns <= columns_of(slot);
  if (small && first.rows * second.rows == slot[0] &&
      first.columns * second.columns == columns_of(slot))
    return {};
  return cat("lokr factors must make ", Shape{slot[0], columns_of(slot)}, ", got ",
             Shape{first.rows, first.columns}, " by ", Shape{second.rows, second.columns});
}

std::string dora_fault(const LayerTensors& l, const Shape& slot) {
  if (!is_dora(l)) return {};
  const Tensor& given = l.has(T::kMagnitude) ? l[T::kMagnitude] : l[T::kDoraScale];
  if (!l.has(T::kMagnitude) && given.rank() >= 2 && given.dim(0) == 1 && slot[0] != 1)
    return cat("dora_scale must have one number for each of the ", slot[0],
               " outputs, got them for the inputs: ", given.shape());
  if (given.numel() != slot[0])
    return cat("the magnitudes must be ", slot[0], ", got ", given.shape());
  return {};
}

}  // namespace

std::string layer_kind(const LayerTensors& l) {
  const std::string kind = is_hada(l)        ? "LoHa"
                           : is_lokr(l)      ? "LoKr"
                           : l.has(T::kDiff) ? "full"
                                             : "LoRA";
  return is_dora(l) ? "DoRA of " + kind : kind;
}

int64_t layer_rank(const LayerTensors& l) {
  if (l.has(T::kDown) && l[T::kDown].rank() > 0) return l[T::kDown].dim(0);
  if (is_hada(l)) return l[T::kHadaW1B].dim(0);
  if (l.has(T::kLokrW2B)) return l[T::kLokrW2B].dim(0);
  if (l.has(T::kLokrW1B)) return l[T::kLokrW1B].dim(0);
  return 0;
}

std::string layer_fault(const LayerTensors& l, const Shape& slot) {
  const int kinds = (l.has(T::kUp) || l.has(T::kDown)) + is_hada(l) + is_lokr(l) + l.has(T::kDiff);
  if (kinds != 1) return kinds ? "has tensors of several kinds of adapters" : "has no product";
  std::string fault;
  if (is_hada(l))
    fault = hada_fault(l, slot);
  else if (is_lokr(l))
    fault = lokr_fault(l, slot);
  else if (!l.has(T::kDiff))
    fault = lora_fault(l, slot);
  else if (l[T::kDiff].shape() != slot)
    fault = cat("diff must be ", slot, ", got ", l[T::kDiff].shape());
  return fault.empty() ? dora_fault(l, slot) : fault;
}

size_t layer_bytes(const LayerTensors& l, const Shape& slot) {
  const auto padded = [](int64_t columns) { return (columns + 15) / 16 * 16; };
  size_t element = sizeof(float);
  if (form_of(l, slot) == Form::kLowRank)
    element = std::max(size_of(l[T::kUp].dtype()), size_of(l[T::kDown].dtype()));
  const int64_t rank = form_of(l, slot) == Form::kHadaRank ? hada_rank(l) : layer_rank(l);
  int64_t elements = 0;
  switch (form_of(l, slot)) {
    case Form::kWhole:
      elements = padded(slot[0]) * columns_of(slot);
      break;
    case Form::kKronRank:
      elements = padded(slot[0]) * rank * slot[1] / l[T::kLokrW2B].dim(1) +
                 padded(rank) * l[T::kLokrW2B].dim(1);
      break;
    case Form::kLowRank:
    case Form::kHadaRank:
      elements = padded(slot[0]) * rank + padded(rank) * columns_of(slot);
      break;
  }
  // 8 bits take no more than a half-width element, but for sums of each tap and column, scales and
  // filled-up quads.
  const int64_t columns = (form_of(l, slot) == Form::kWhole ? slot[0] : rank) + 31;
  return static_cast<size_t>(elements) * element +
         static_cast<size_t>(columns * (8 * taps_of(slot) + 4));
}

std::shared_ptr<const nn::LayerDelta> pack_layer(const LayerTensors& l, const Shape& slot,
                                                 WeightFormat format, Device device,
                                                 const std::function<Tensor()>& weight) {
  auto delta = std::make_shared<nn::LayerDelta>();
  delta->scale = scale_of(l);
  switch (form_of(l, slot)) {
    case Form::kLowRank:
      pack_low_rank(l, slot, {device, format}, *delta);
      break;
    case Form::kHadaRank:
      pack_hada(l, slot, {device, format}, *delta);
      break;
    case Form::kKronRank:
      pack_kron(l, device, *delta);
      break;
    case Form::kWhole:
      delta->down = ops::pack(narrow(whole_change(l, slot), slot), device, format);
      break;
  }
  if (is_dora(l)) delta->magnitude = magnitude_of(l, weight());
  return delta;
}

void add_change(const LayerTensors& l, float strength, const Tensor& weight, Tensor& sum) {
  const Matrix change = whole_change(l, weight.shape());
  const float scale = scale_of(l) * strength;
  const auto columns = static_cast<size_t>(change.columns);
  const std::span<const float> w = weight.span<float>();
  const std::span<float> out = sum.mutable_span<float>();
  const Tensor& given = l.has(T::kMagnitude) ? l[T::kMagnitude] : l[T::kDoraScale];
  const std::vector<float> magnitude = is_dora(l) ? matrix(given).values : std::vector<float>();
  for (size_t row = 0; row < static_cast<size_t>(change.rows); ++row) {
    const size_t first = row * columns;
    float gain = 1;
    if (!magnitude.empty()) {
      double square = 0;
      for (size_t i = first; i < first + columns; ++i) {
        const double value = w[i] + static_cast<double>(scale) * change.values[i];
        square += value * value;
      }
      gain = square > 0 ? static_cast<float>(magnitude[row] / std::sqrt(square)) : 0;
    }
    for (size_t i = first; i < first + columns; ++i)
      out[i] += (gain - 1) * w[i] + gain * scale * change.values[i];
  }
}

}  // namespace tintype
