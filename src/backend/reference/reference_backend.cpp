#include "backend/reference/reference_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/reference/reference_impl.h"
#include "tensor/float16.h"

namespace tintype {
namespace reference {

double activate(double x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGelu:
      return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case Activation::kQuickGelu:
      return x / (1.0 + std::exp(-1.702 * x));
    case Activation::kLeakyRelu:
      return x > 0 ? x : 0.2 * x;
  }
  return x;
}

namespace {

class ReferenceStorage final : public Storage {
 public:
  explicit ReferenceStorage(std::vector<std::byte> bytes)
      : Storage(bytes.data(), bytes.size(), Device::kReference), bytes_(std::move(bytes)) {}

 private:
  std::vector<std::byte> bytes_;
};

/// Plain vectors: this backend is measured in correctness, not bytes.
class ReferenceAllocator final : public Allocator {
 public:
  std::shared_ptr<Storage> allocate(size_t bytes) override {
    try {
      return std::make_shared<ReferenceStorage>(std::vector<std::byte>(bytes));
    } catch (const std::bad_alloc&) {
      fail(ErrorKind::kOutOfMemory, "reference", "needed ", bytes, " bytes, the system refused");
    }
  }
  AllocatorStats stats() const override { return {}; }
};

float load(const Tensor& x, int64_t i) {
  const auto half = [&] {
    uint16_t bits;
    std::memcpy(&bits, x.bytes() + 2 * i, 2);
    return bits;
  };
  switch (x.dtype()) {
    case DType::kF32:
      return x.data<float>()[i];
    case DType::kF16:
      return f16_to_f32(half());
    case DType::kBF16:
      return bf16_to_f32(half());
    case DType::kI8:
    case DType::kU8:
    case DType::kI32:
    case DType::kInt8Rows:
      break;
  }
  fail(ErrorKind::kInternal, "reference", "loads floats, got ", x.dtype());
}

void store(Tensor& x, int64_t i, float value) {
  if (x.dtype() == DType::kF32) {
    x.mutable_data<float>()[i] = value;
    return;
  }
  const uint16_t bits = x.dtype() == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
  std::memcpy(x.mutable_bytes() + 2 * i, &bits, 2);
}

class ReferenceBackend final : public Backend {
 public:
  Device device() const override { return Device::kReference; }
  Allocator& allocator() const override { return allocator_; }

  void copy_from_host(const Tensor& host, Tensor& out) const override { copy(host, out); }
  void copy_to_host(const Tensor& x, Tensor& host) const override { copy(x, host); }

  void cast(const Tensor& x, Tensor& out) const override {
    for (int64_t i = 0; i < x.numel(); ++i) store(out, i, load(x, i));
  }

  std::unique_ptr<PackedWeight> pack(const Tensor& weight, WeightFormat format) const override {
    Tensor values = empty(allocator_, weight.shape());
    cast(weight, values);
    if (format == WeightFormat::kInt8 && values.numel() > 0)
      round_weight_rows(values.mutable_data<float>(), weight.dim(0),
                        values.numel() / weight.dim(0));
    return std::make_unique<PlainWeight>(std::move(values), format);
  }

  void linear(const Tensor& x, const PackedWeight& weight, const Epilogue& epilogue,
              Tensor& out) const override {
    reference::linear(x, static_cast<const PlainWeight&>(weight), epilogue, out);
  }
  void conv2d(const Tensor& x, const PackedWeight& weight, const Conv2dGeometry& geometry,
              const Epilogue& epilogue, Tensor& out) const override {
    reference::conv2d(x, static_cast<const PlainWeight&>(weight), geometry, epilogue, out);
  }
  void attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                 Tensor& out) const override {
    reference::attention(q, k, v, options, out);
  }

  void layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps,
                  Tensor& out) const override {
    const int64_t channels = x.dim(-1);
    for (int64_t row = 0; row < x.numel() / channels; ++row) {
      const Block block{.start = row * channels, .positions = 1, .width = channels};
      normalise(x, block, moments(x, block), {.eps = eps}, weight, bias, out);
    }
  }
  void group_moments(const Tensor& x, Tensor& out) const override {
    float* to = out.mutable_data<float>();
    for (const Block& block : group_blocks(x, static_cast<int>(out.dim(1)))) {
      const Moments m = moments(x, block);
      *to++ = static_cast<float>(m.mean);
      *to++ = static_cast<float>(m.variance);
    }
  }
  void group_norm(const Tensor& x, const GroupNormOptions& options, const Tensor& weight,
                  const Tensor& bias, Tensor& out) const override {
    const float* given = options.moments ? options.moments->data<float>() : nullptr;
    for (const Block& block : group_blocks(x, options.groups)) {
      const Moments m = given ? Moments{given[0], given[1]} : moments(x, block);
      if (given) given += 2;
      normalise(x, block, m, options, weight, bias, out);
    }
  }
  void activation(const Tensor& x, Activation kind, Tensor& out) const override {
    for (int64_t i = 0; i < x.numel(); ++i)
      out.mutable_data<float>()[i] = static_cast<float>(activate(x.data<float>()[i], kind));
  }
  void geglu(const Tensor& x, Tensor& out) const override {
    const int64_t half = out.dim(-1);
    for (int64_t i = 0; i < out.numel(); ++i) {
      const float* row = x.data<float>() + i / half * 2 * half;
      out.mutable_data<float>()[i] =
          static_cast<float>(row[i % half] * activate(row[half + i % half], Activation::kGelu));
    }
  }
  void weighted_sum(std::span<const WeightedTerm> terms, Tensor& out) const override {
    for (int64_t i = 0; i < out.numel(); ++i) {
      double sum = 0;
      for (const WeightedTerm& term : terms)
        sum += static_cast<double>(term.weight) * term.tensor->data<float>()[i];
      out.mutable_data<float>()[i] = static_cast<float>(sum);
    }
  }
  void concat_last(const Tensor& a, const Tensor& b, Tensor& out) const override {
    const int64_t left = a.dim(-1), right = b.dim(-1), width = left + right;
    for (int64_t i = 0; i < out.numel(); ++i) {
      const int64_t row = i / width, column = i % width;
      out.mutable_data<float>()[i] = column < left ? a.data<float>()[row * left + column]
                                                   : b.data<float>()[row * right + column - left];
    }
  }
  void embedding(const Tensor& table, const Tensor& ids, Tensor& out) const override {
    const int64_t width = table.dim(1);
    for (int64_t i = 0; i < out.numel(); ++i)
      out.mutable_data<float>()[i] =
          load(table, ids.data<int32_t>()[i / width] * width + i % width);
  }

 private:
  static void copy(const Tensor& from, Tensor& to) {
    if (from.nbytes()) std::memcpy(to.mutable_bytes(), from.bytes(), from.nbytes());
  }

  /// What is normalised together: `positions` runs of `width` channels, one `stride` apart.
  struct Block {
    int64_t start = 0, positions = 0, width = 0;
    int64_t stride = 0, first_channel = 0;
  };
  struct Moments {
    double mean, variance;
  };

  static std::vector<Block> group_blocks(const Tensor& x, int groups) {
    std::vector<Block> blocks;
    if (x.numel() == 0) return blocks;
    const int64_t channels = x.dim(-1), width = channels / groups;
    const int64_t positions = x.numel() / x.dim(0) / channels;
    for (int64_t image = 0; image < x.dim(0); ++image)
      for (int g = 0; g < groups; ++g)
        blocks.push_back(
            {image * positions * channels + g * width, positions, width, channels, g * width});
    return blocks;
  }

  static Moments moments(const Tensor& x, const Block& block) {
    const float* in = x.data<float>() + block.start;
    const double count = static_cast<double>(block.positions * block.width);
    double mean = 0, variance = 0;
    for (int64_t p = 0; p < block.positions; ++p)
      for (int64_t c = 0; c < block.width; ++c) mean += in[p * block.stride + c] / count;
    for (int64_t p = 0; p < block.positions; ++p)
      for (int64_t c = 0; c < block.width; ++c) {
        const double delta = in[p * block.stride + c] - mean;
        variance += delta * delta / count;
      }
    return {mean, variance};
  }

  static void normalise(const Tensor& x, const Block& block, const Moments& m,
                        const GroupNormOptions& options, const Tensor& weight, const Tensor& bias,
                        Tensor& out) {
    const float* in = x.data<float>() + block.start;
    const double scale = 1.0 / std::sqrt(m.variance + options.eps);
    float* to = out.mutable_data<float>() + block.start;
    for (int64_t p = 0; p < block.positions; ++p)
      for (int64_t c = 0; c < block.width; ++c) {
        const double unit = (in[p * block.stride + c] - m.mean) * scale;
        to[p * block.stride + c] =
            static_cast<float>(activate(unit * weight.data<float>()[block.first_channel + c] +
                                            bias.data<float>()[block.first_channel + c],
                                        options.activation));
      }
  }

  mutable ReferenceAllocator allocator_;
};

}  // namespace
}  // namespace reference

const Backend& reference_backend() {
  static const reference::ReferenceBackend backend;
  return backend;
}

}  // namespace tintype
