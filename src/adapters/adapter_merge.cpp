#include "adapters/adapter_merge.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/text.h"
#include "ops/ops.h"
#include "weights/mapped_tensor.h"

namespace tintype {
namespace {

class MergedSource final : public TensorSource {
 public:
  MergedSource(std::shared_ptr<const TensorSource> source,
               std::shared_ptr<const AdapterMerge::Changes> changes, AdapterMerge::Numbers numbers)
      : source_(std::move(source)), changes_(std::move(changes)), numbers_(numbers) {
    for (const Entry& entry : source_->entries()) {
      Entry& own = entries_.emplace_back(entry);
      if (!changes_->contains(entry.name)) continue;
      own.dtype = DType::kF32;
      if (!entry.stored.empty()) continue;
      own.stored = to_string(entry.dtype);
      own.stored_bytes = bytes_of(entry.dtype, entry.shape);
    }
  }

  std::span<const Entry> entries() const override { return entries_; }
  std::span<const Unreadable> unreadable() const override { return source_->unreadable(); }
  bool stays_mapped() const override { return source_->stays_mapped(); }
  std::string metadata(std::string_view key) const override { return source_->metadata(key); }
  const std::string& origin() const override { return source_->origin(); }

  Tensor read(const Entry& entry) const override {
    const Entry& inner = source_->entries()[index_of(*this, entry)];
    const auto found = changes_->find(entry.name);
    if (found == changes_->end()) return source_->read(inner);
    // Of a wrong shape, which the loader reports, only the shape counts.
    const Shape& slot = found->second.front().slot;
    if (numbers_ == AdapterMerge::Numbers::kLeftOut || inner.shape.numel() != slot.numel())
      return empty_host(inner.shape);
    const Tensor weight = ops::cast(source_->read(inner), DType::kF32).reshape(slot);
    Tensor sum = empty_host(slot);
    std::ranges::copy(weight.span<float>(), sum.mutable_span<float>().begin());
    for (const AdapterMerge::Change& change : found->second)
      add_change(change.tensors, change.weight, weight, sum);
    if (!std::ranges::all_of(sum.span<float>(), [](float v) { return std::isfinite(v); }))
      fail(ErrorKind::kUnsupported, origin(), "weights with adapters merged in must be finite, ",
           printable(entry.name, 120), " is not; use smaller weights of the adapters");
    return sum.reshape(inner.shape);
  }

 private:
  std::shared_ptr<const TensorSource> source_;
  std::shared_ptr<const AdapterMerge::Changes> changes_;
  AdapterMerge::Numbers numbers_;
  std::vector<Entry> entries_;
};

}  // namespace

void AdapterMerge::add(const AdapterFile& file, std::span<const AdapterTarget> targets,
                       const Weights& weights, size_t max_bytes) {
  for (const LayerMatch& match : match_layers(file, targets, max_bytes)) {
    const std::string& component = match.target->component;
    const float own = component == "unet" ? weights.network : weights.text;
    if (own == 0) continue;
    std::shared_ptr<Changes>& changes = components_[component];
    if (!changes) changes = std::make_shared<Changes>();
    const WeightSlot& slot = match.weight_slot();
    (*changes)[slot.path + ".weight"].push_back({match.layer->tensors, own, slot.shape});
  }
}

std::shared_ptr<const TensorSource> AdapterMerge::over(const std::string& component,
                                                       std::shared_ptr<const TensorSource> source,
                                                       Numbers numbers) const {
  const auto found = components_.find(component);
  if (found == components_.end()) return source;
  return std::make_shared<const MergedSource>(std::move(source), found->second, numbers);
}

}  // namespace tintype
