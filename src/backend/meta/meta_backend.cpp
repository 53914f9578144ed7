#include "backend/meta/meta_backend.h"

#include <algorithm>
#include <cstring>

namespace tintype {
namespace {

thread_local int64_t live = 0, peak = 0;
thread_local uint64_t allocations = 0, given_bytes = 0;

void count(size_t bytes) {
  live += static_cast<int64_t>(bytes);
  peak = std::max(peak, live);
}

class MetaStorage final : public Storage {
 public:
  explicit MetaStorage(size_t bytes) : Storage(nullptr, bytes, Device::kMeta) { count(bytes); }
  ~MetaStorage() override { live -= static_cast<int64_t>(bytes()); }
};

class MetaAllocator final : public Allocator {
 public:
  std::shared_ptr<Storage> allocate(size_t bytes) override {
    ++allocations;
    given_bytes += bytes;
    return std::make_shared<MetaStorage>(bytes);
  }
  /// This thread's; how much is alive tells MetaMemory.
  AllocatorStats stats() const override {
    return {.allocations = allocations, .given_bytes = given_bytes};
  }
};

class MetaWeight final : public PackedWeight {
 public:
  MetaWeight(const Shape& shape, size_t bytes, WeightFormat format)
      : PackedWeight(shape, bytes), format_(format), storage_(bytes) {}
  WeightFormat format() const override { return format_; }

 private:
  WeightFormat format_;
  MetaStorage storage_;
};

/// The CPU packs columns into panels of at least this many elements.
constexpr int64_t kPanelColumns = 16;
constexpr int64_t kInt8PanelColumns = 32;

class MetaBackend final : public Backend {
 public:
  Device device() const override { return Device::kMeta; }
  Allocator& allocator() const override { return allocator_; }

  void copy_from_host(const Tensor&, Tensor&) const override {}
  void copy_to_host(const Tensor&, Tensor& host) const override {
    std::memset(host.mutable_bytes(), 0, host.nbytes());
  }
  std::unique_ptr<PackedWeight> pack(const Tensor& weight, WeightFormat format) const override {
    const int64_t columns = weight.dim(0);
    if (columns == 0) return std::make_unique<MetaWeight>(weight.shape(), 0, format);
    if (format == WeightFormat::kInt8) {
      // One byte an element, and for each tap and column a sum, for each column a scale.
      const int64_t panels = (columns + kInt8PanelColumns - 1) / kInt8PanelColumns;
      const int64_t taps = weight.rank() == 4 ? weight.dim(2) * weight.dim(3) : 1;
      const int64_t depth = (weight.dim(1) + 3) / 4 * 4;
      return std::make_unique<MetaWeight>(
          weight.shape(),
          static_cast<size_t>(panels * kInt8PanelColumns * (taps * (depth + 4) + 4)), format);
    }
    const int64_t padded = (columns + kPanelColumns - 1) / kPanelColumns * kPanelColumns;
    const int64_t elements = weight.numel() / columns * padded;
    return std::make_unique<MetaWeight>(
        weight.shape(), static_cast<size_t>(elements) * size_of(weight.dtype()), format);
  }
  std::unique_ptr<PackedWeight> adopt(const PackedParts& parts) const override {
    size_t bytes = 0;
    for (const Tensor& part : parts.parts) bytes += part.nbytes();
    return std::make_unique<MetaWeight>(
        parts.shape, bytes, parts.element == "int8" ? WeightFormat::kInt8 : WeightFormat::kStored);
  }
  DType input_type(WeightFormat format) const override {
    return format == WeightFormat::kInt8 ? DType::kInt8Rows : DType::kF32;
  }
  void attention(const Tensor&, const Tensor& k, const Tensor& v, const AttentionOptions&,
                 Tensor&) const override {
    // The CPU packs keys and values for the length of the call.
    const MetaStorage packed(k.nbytes() + v.nbytes());
  }

  void cast(const Tensor&, Tensor&) const override {}
  void linear(const Tensor& x, const PackedWeight& weight, const Epilogue&,
              Tensor&) const override {
    const MetaStorage rounded(rounded_bytes(x, weight));
  }
  void conv2d(const Tensor& x, const PackedWeight& weight, const Conv2dGeometry&, const Epilogue&,
              Tensor&) const override {
    const MetaStorage rounded(rounded_bytes(x, weight));
  }
  void layer_norm(const Tensor&, const Tensor&, const Tensor&, float, Tensor&) const override {}
  void group_moments(const Tensor&, Tensor&) const override {}
  void group_norm(const Tensor&, const GroupNormOptions&, const Tensor&, const Tensor&,
                  Tensor&) const override {}
  void activation(const Tensor&, Activation, Tensor&) const override {}
  void geglu(const Tensor&, Tensor&) const override {}
  void weighted_sum(std::span<const WeightedTerm>, Tensor&) const override {}
  void concat_last(const Tensor&, const Tensor&, Tensor&) const override {}
  void embedding(const Tensor&, const Tensor&, Tensor&) const override {}

 private:
  /// What the CPU makes of inputs that nobody rounded before, for the length of a product.
  static size_t rounded_bytes(const Tensor& x, const PackedWeight& weight) {
    const bool rounds = weight.format() == WeightFormat::kInt8 && x.dtype() == DType::kF32;
    return rounds ? bytes_of(DType::kInt8Rows, x.shape()) : 0;
  }

  mutable MetaAllocator allocator_;
};

}  // namespace

const Backend& meta_backend() {
  static const MetaBackend backend;
  return backend;
}

MetaMemory::MetaMemory() : start_(live) { peak = live; }
uint64_t MetaMemory::live_bytes() const { return static_cast<uint64_t>(live - start_); }
uint64_t MetaMemory::peak_bytes() const { return static_cast<uint64_t>(peak - start_); }

}  // namespace tintype
