#include "weights/weight_scales.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "tensor/allocator.h"
#include "tensor/float16.h"
#include "weights/find_by_name.h"

namespace tintype {

namespace {

constexpr float kLargestF16 = 65504.0f;

/// Last segments of the names of a weight's factor: of the older form and of the newer one.
constexpr std::array<std::string_view, 2> kScales = {"scale_weight", "weight_scale"};
/// Last segments of names that say how other programs compute, not what the weights are.
constexpr std::array<std::string_view, 4> kMarkers = {"scaled_fp8", "comfy_quant", "scale_input",
                                                      "input_scale"};

template <size_t N>
bool ends_in(std::string_view name, const std::array<std::string_view, N>& segments) {
  const size_t dot = name.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? name : name.substr(dot + 1);
  return std::find(segments.begin(), segments.end(), last) != segments.end();
}

float number_of(const Tensor& tensor) {
  if (tensor.dtype() == DType::kF32) return tensor.data<float>()[0];
  const uint16_t bits = *reinterpret_cast<const uint16_t*>(tensor.bytes());
  return tensor.dtype() == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

class ScaledSource final : public TensorSource {
 public:
  explicit ScaledSource(std::shared_ptr<const TensorSource> source) : source_(std::move(source)) {
    for (const Entry& entry : source_->entries()) {
      if (ends_in(entry.name, kScales)) {
        check(entry);
      } else if (!ends_in(entry.name, kMarkers)) {
        entries_.push_back(entry);
      }
    }
    for (const Unreadable& other : source_->unreadable())
      if (!ends_in(other.name, kMarkers)) unreadable_.push_back(other);
  }

  std::span<const Entry> entries() const override { return entries_; }
  std::span<const Unreadable> unreadable() const override { return unreadable_; }
  const std::string& origin() const override { return source_->origin(); }

  Tensor read(const Entry& entry) const override {
    const Tensor stored = source_->read(entry);
    const Entry* scale = scale_of(entry.name);
    if (scale == nullptr) return stored;
    const float factor = number_of(source_->read(*scale));
    if (!std::isfinite(factor))
      fail(ErrorKind::kCorruptFile, origin(), "'", printable(scale->name, 120),
           "' must be a number, got ", factor);
    Tensor scaled = empty_host(stored.shape(), DType::kF16);
    const auto* from = reinterpret_cast<const uint16_t*>(stored.bytes());
    auto* to = reinterpret_cast<uint16_t*>(scaled.mutable_bytes());
    for (int64_t i = 0; i < stored.numel(); ++i) {
      const float value = f16_to_f32(from[i]) * factor;
      if (std::fabs(value) > kLargestF16)
        fail(ErrorKind::kUnsupported, origin(), "'", printable(entry.name, 120), "' times '",
             printable(scale->name, 120), "' must lie within f16's ", kLargestF16, ", got ", value);
      to[i] = f32_to_f16(value);
    }
    return scaled;
  }

 private:
  /// The factor of a weight's name; null when it has none.
  const Entry* scale_of(std::string_view name) const {
    constexpr std::string_view kWeight = "weight";
    if (!name.ends_with(".weight")) return nullptr;
    const std::string stem(name.substr(0, name.size() - kWeight.size()));
    for (const std::string_view scale : kScales)
      if (const Entry* found = find_by_name(source_->entries(), stem + std::string(scale)))
        return found;
    return nullptr;
  }

  void check(const Entry& scale) const {
    const std::string weight_name = scale.name.substr(0, scale.name.rfind('.') + 1) + "weight";
    const Entry* weight = find_by_name(source_->entries(), weight_name);
    if (weight == nullptr)
      fail(ErrorKind::kCorruptFile, origin(), "'", printable(scale.name, 120), "' must belong to '",
           printable(weight_name, 120), "', which is not there");
    if (scale_of(weight_name) != &scale)
      fail(ErrorKind::kCorruptFile, origin(), "'", printable(weight_name, 120),
           "' must have one factor, got two");
    if (!weight->stored.starts_with("f8_"))
      fail(ErrorKind::kUnsupported, origin(), "'", printable(scale.name, 120),
           "' must be the factor of 8-bit floats, got ",
           weight->stored.empty() ? to_string(weight->dtype) : weight->stored,
           "; this quantisation is not supported");
    const bool is_float =
        scale.stored.empty() &&
        (scale.dtype == DType::kF32 || scale.dtype == DType::kF16 || scale.dtype == DType::kBF16);
    if (scale.shape.numel() != 1 || !is_float)
      fail(ErrorKind::kUnsupported, origin(), "'", printable(scale.name, 120),
           "' must be one f32, f16 or bf16 number for all of its weights, got ", scale.dtype, " ",
           scale.shape);
  }

  std::shared_ptr<const TensorSource> source_;
  std::vector<Entry> entries_;
  std::vector<Unreadable> unreadable_;
};

}  // namespace

std::shared_ptr<const TensorSource> apply_weight_scales(
    std::shared_ptr<const TensorSource> source) {
  const auto describes = [](const auto& item) {
    return ends_in(item.name, kScales) || ends_in(item.name, kMarkers);
  };
  const auto entries = source->entries();
  const auto others = source->unreadable();
  const bool any = std::any_of(entries.begin(), entries.end(), describes) ||
                   std::any_of(others.begin(), others.end(), describes);
  return any ? std::make_shared<const ScaledSource>(std::move(source)) : source;
}

}  // namespace tintype
