#include "models/averaged_network.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "weights/find_by_name.h"
#include "weights/named_shapes.h"

namespace tintype {

namespace {

constexpr std::string_view kNetwork = "model.diffusion_model.";

/// "model.diffusion_model.out.0.bias" -> "model_ema.diffusion_modelout0bias"
/// source  diffusers loaders/single_file_utils.py, convert_ldm_unet_checkpoint (extract_ema)
std::string averaged_name(std::string_view name) {
  std::string flat(name.substr(std::string_view("model.").size()));
  flat.erase(std::remove(flat.begin(), flat.end(), '.'), flat.end());
  return "model_ema." + flat;
}

class AveragedSource final : public TensorSource {
 public:
  explicit AveragedSource(std::shared_ptr<const TensorSource> source) : source_(std::move(source)) {
    for (const Entry& entry : source_->entries()) {
      entries_.push_back(entry);
      from_.push_back(&entry);
      if (!entry.name.starts_with(kNetwork)) continue;
      const std::string name = averaged_name(entry.name);
      const Entry* average = find_by_name(source_->entries(), name);
      if (average == nullptr || average->shape != entry.shape)
        fail(ErrorKind::kCorruptFile, origin(), "the averaged copy must have '",
             printable(name, 120), "' of ", entry.shape, " for '", printable(entry.name, 120),
             "', got ", average == nullptr ? std::string("none") : cat(average->shape));
      entries_.back() = *average;
      entries_.back().name = entry.name;
      entries_.back().file_name = average->name;
      from_.back() = average;
    }
  }

  std::span<const Entry> entries() const override { return entries_; }
  std::span<const Unreadable> unreadable() const override { return source_->unreadable(); }
  const std::string& origin() const override { return source_->origin(); }

  Tensor read(const Entry& entry) const override {
    const Entry* own = find_by_name(entries(), entry.name);
    if (own == nullptr)
      fail(ErrorKind::kInternal, origin(), "read() must get one of entries(), got '",
           printable(entry.name), "'");
    return source_->read(*from_[static_cast<size_t>(own - entries_.data())]);
  }

 private:
  std::shared_ptr<const TensorSource> source_;
  std::vector<Entry> entries_;
  std::vector<const Entry*> from_;  ///< what entries_[i] is read from
};

}  // namespace

std::shared_ptr<const TensorSource> with_averaged_network(
    std::shared_ptr<const TensorSource> source) {
  if (!NamedShapes(*source).any_below("model_ema.diffusion_model"))
    fail(ErrorKind::kUnsupported, source->origin(),
         "must hold an averaged copy of the network, with tensors named model_ema.*, to use it; "
         "got none");
  return std::make_shared<const AveragedSource>(std::move(source));
}

}  // namespace tintype
