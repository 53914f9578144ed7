#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/reference/reference_impl.h"

namespace tintype::reference {
namespace {

/// What `term` adds to the product of row `row`, column `n`.
double low_rank(const LowRankTerm& term, int64_t row, int64_t rows_per_image, int64_t n) {
  const int64_t own = row - term.first_image * rows_per_image, rank = term.middle->dim(-1);
  if (own < 0 || own >= term.middle->dim(0) * rows_per_image) return 0;
  const float* middle = term.middle->data<float>() + own * rank;
  double sum = term.up ? 0 : middle[n];
  if (term.up) {
    const float* up = static_cast<const PlainWeight&>(*term.up).values() + n * rank;
    for (int64_t r = 0; r < rank; ++r) sum += static_cast<double>(middle[r]) * up[r];
  }
  return sum * term.scale * (term.gain ? term.gain->data<float>()[n] : 1.0);
}

/// Applies the epilogue to the product of row `row` (of `rows_per_image` an image), column `n`.
double finish(double sum, const Epilogue& epilogue, int64_t row, int64_t rows_per_image, int64_t n,
              int64_t columns) {
  if (epilogue.image_gain)
    sum *= epilogue.image_gain->data<float>()[row / rows_per_image * columns + n];
  for (const LowRankTerm& term : epilogue.low_rank) sum += low_rank(term, row, rows_per_image, n);
  if (epilogue.bias) sum += epilogue.bias->data<float>()[n];
  if (epilogue.image_bias)
    sum += epilogue.image_bias->data<float>()[row / rows_per_image * columns + n];
  sum = activate(sum, epilogue.activation);
  if (epilogue.residual) sum += epilogue.residual->data<float>()[row * columns + n];
  return sum;
}

/// What a product with `weight` sees of x [..., channels]: x, or with 8-bit weights each row
/// rounded to 255 steps between its least and greatest value.
std::vector<float> seen_rows(const Tensor& x, const PlainWeight& weight) {
  std::vector<float> values(x.data<float>(), x.data<float>() + x.numel());
  if (weight.format() != WeightFormat::kInt8) return values;
  const size_t channels = static_cast<size_t>(x.dim(-1));
  for (size_t first = 0; first + channels <= values.size() && channels; first += channels) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
    const auto [low, high] = std::minmax_element(begin, begin + x.dim(-1));
    const float offset = *low, scale = (*high - *low) / 255.0f;
    // In f32, as every backend rounds: ties fall alike.
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    for (size_t i = first; i < first + channels; ++i)
      values[i] = offset + scale * std::nearbyintf((values[i] - offset) * inverse);
  }
  return values;
}

/// In place; `visible` leading entries take part, the others become 0.
void softmax_row(std::vector<double>& row, int64_t visible) {
  const double top = *std::max_element(row.begin(), row.begin() + visible);
  double total = 0;
  for (int64_t t = 0; t < visible; ++t) total += row[t] = std::exp(row[t] - top);
  for (int64_t t = 0; t < static_cast<int64_t>(row.size()); ++t)
    row[t] = t < visible ? row[t] / total : 0.0;
}

}  // namespace

void round_weight_rows(float* values, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; ++row, values += channels) {
    float largest = 0;
    for (int64_t i = 0; i < channels; ++i) largest = std::max(largest, std::fabs(values[i]));
    const float scale = largest / 127.0f, inverse = largest > 0 ? 127.0f / largest : 0.0f;
    for (int64_t i = 0; i < channels; ++i) values[i] = scale * std::nearbyintf(values[i] * inverse);
  }
}

void linear(const Tensor& x, const PlainWeight& weight, const Epilogue& epilogue, Tensor& out) {
  const int64_t columns = weight.shape()[0], depth = weight.shape()[1];
  const int64_t rows = depth == 0 ? out.numel() / std::max<int64_t>(columns, 1) : x.numel() / depth;
  const int64_t rows_per_image = rows / std::max<int64_t>(x.dim(0), 1);
  const std::vector<float> in = seen_rows(x, weight);
  float* to = out.mutable_data<float>();
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t n = 0; n < columns; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k)
        sum += static_cast<double>(in[static_cast<size_t>(row * depth + k)]) *
               weight.values()[n * depth + k];
      to[row * columns + n] =
          static_cast<float>(finish(sum, epilogue, row, rows_per_image, n, columns));
    }
  }
}

void conv2d(const Tensor& x, const PlainWeight& weight, const Conv2dGeometry& g,
            const Epilogue& epilogue, Tensor& out) {
  const int64_t height = g.resize_height ? g.resize_height : x.dim(1);
  const int64_t width = g.resize_width ? g.resize_width : x.dim(2), in_channels = x.dim(3);
  const int64_t out_height = out.dim(1), out_width = out.dim(2), out_channels = out.dim(3);
  const int64_t kernel_h = weight.shape()[2], kernel_w = weight.shape()[3];
  const std::vector<float> in = seen_rows(x, weight);
  float* to = out.mutable_data<float>();
  for (int64_t row = 0; row < out.dim(0) * out_height * out_width; ++row) {
    const int64_t image = row / (out_height * out_width);
    const int64_t top = row / out_width % out_height * g.stride - g.pad_top;
    const int64_t left = row % out_width * g.stride - g.pad_left;
    for (int64_t o = 0; o < out_channels; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < kernel_h; ++i) {
        for (int64_t j = 0; j < kernel_w; ++j) {
          const int64_t y = top + i, column = left + j;
          if (y < 0 || y >= height || column < 0 || column >= width) continue;
          const int64_t from_y = y * x.dim(1) / height, from_x = column * x.dim(2) / width;
          const float* pixel =
              in.data() + ((image * x.dim(1) + from_y) * x.dim(2) + from_x) * in_channels;
          for (int64_t c = 0; c < in_channels; ++c)
            sum += static_cast<double>(pixel[c]) *
                   weight.values()[((o * in_channels + c) * kernel_h + i) * kernel_w + j];
        }
      }
      to[row * out_channels + o] =
          static_cast<float>(finish(sum, epilogue, row, out_height * out_width, o, out_channels));
    }
  }
}

void attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
               Tensor& out) {
  const int64_t queries = q.dim(1), keys = k.dim(1), width = q.dim(2);
  const int64_t head_width = width / options.heads;
  std::vector<double> row(static_cast<size_t>(keys));
  for (int64_t cell = 0; cell < q.dim(0) * queries * options.heads; ++cell) {
    const int64_t head = cell % options.heads, position = cell / options.heads;
    const int64_t image = position / queries, s = position % queries;
    const float* query = q.data<float>() + position * width + head * head_width;
    const int64_t base = image * keys * width + head * head_width;
    const int64_t visible = options.causal ? s + 1 : keys;
    for (int64_t t = 0; t < visible; ++t) {
      double sum = 0;
      for (int64_t d = 0; d < head_width; ++d)
        sum += static_cast<double>(query[d]) * k.data<float>()[base + t * width + d];
      row[t] = sum * options.scale;
    }
    softmax_row(row, visible);
    float* to = out.mutable_data<float>() + position * width + head * head_width;
    for (int64_t d = 0; d < head_width; ++d) {
      double sum = 0;
      for (int64_t t = 0; t < visible; ++t) sum += row[t] * v.data<float>()[base + t * width + d];
      to[d] = static_cast<float>(sum);
    }
  }
}

}  // namespace tintype::reference
