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

  std::unique_ptr<PackedWeight> pack_linear(const Tensor& weight) const override {
    Tensor values = empty(allocator_, weight.shape());
    cast(weight, values);
    return std::make_unique<PlainWeight>(std::move(values));
  }
  std::unique_ptr<PackedWeight> pack_conv2d(const Tensor& weight) const override {
    return pack_linear(weight);
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
    for (int64_t row = 0; row < x.numel() / channels; ++row)
      normalise(x, row * channels, 1, channels, channels, 0, weight, bias, eps, Activation::kNone,
                out);
  }
  void group_norm(const Tensor& x, int groups, const Tensor& weight, const Tensor& bias, float eps,
                  Activation activation, Tensor& out) const override {
    const int64_t channels = x.dim(-1), width = channels / groups;
    const int64_t images = x.dim(0);
    if (x.numel() == 0) return;
    const int64_t positions = x.numel() / images / channels;
    for (int64_t image = 0; image < images; ++image)
      for (int g = 0; g < groups; ++g)
        normalise(x, image * positions * channels + g * width, positions, width, channels,
                  g * width, weight, bias, eps, activation, out);
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
  void upsample_nearest(const Tensor& x, Tensor& out) const override {
    const int64_t height = out.dim(1), width = out.dim(2), channels = out.dim(3);
    for (int64_t i = 0; i < out.numel(); ++i) {
      const int64_t c = i % channels, column = i / channels % width;
      const int64_t y = i / channels / width % height, image = i / channels / width / height;
      const int64_t from_y = y * x.dim(1) / height, from_x = column * x.dim(2) / width;
      out.mutable_data<float>()[i] =
          x.data<float>()[((image * x.dim(1) + from_y) * x.dim(2) + from_x) * channels + c];
    }
  }
  void embedding(const Tensor& table, const Tensor& ids, Tensor& out) const override {
    const int64_t width = table.dim(1);
    for (int64_t i = 0; i < out.numel(); ++i)
      out.mutable_data<float>()[i] =
          table.data<float>()[ids.data<int32_t>()[i / width] * width + i % width];
  }

 private:
  static void copy(const Tensor& from, Tensor& to) {
    if (from.nbytes()) std::memcpy(to.mutable_bytes(), from.bytes(), from.nbytes());
  }

  /// Normalises `positions` rows of `width` channels, `stride` apart, starting at `start`.
  static void normalise(const Tensor& x, int64_t start, int64_t positions, int64_t width,
                        int64_t stride, int64_t first_channel, const Tensor& weight,
                        const Tensor& bias, float eps, Activation activation, Tensor& out) {
    const float* in = x.data<float>() + start;
    const double count = static_cast<double>(positions * width);
    double mean = 0, variance = 0;
    for (int64_t p = 0; p < positions; ++p)
      for (int64_t c = 0; c < width; ++c) mean += in[p * stride + c] / count;
    for (int64_t p = 0; p < positions; ++p)
      for (int64_t c = 0; c < width; ++c)
        variance += (in[p * stride + c] - mean) * (in[p * stride + c] - mean) / count;
    const double scale = 1.0 / std::sqrt(variance + eps);
    float* to = out.mutable_data<float>() + start;
    for (int64_t p = 0; p < positions; ++p)
      for (int64_t c = 0; c < width; ++c)
        to[p * stride + c] = static_cast<float>(
            activate((in[p * stride + c] - mean) * scale * weight.data<float>()[first_channel + c] +
                         bias.data<float>()[first_channel + c],
                     activation));
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
