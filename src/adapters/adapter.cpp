#include "adapters/adapter.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/text.h"
#include "ops/ops.h"
#include "weights/find_by_name.h"

namespace tintype {
namespace {

constexpr int64_t kUnitRows = 256;

/// `count` inputs from channel `first` on that are 1 in their own channel: rows [count,I], or of a
/// convolution pictures [count,kh,kw,I] with that 1 in the middle.
Tensor units(const Shape& slot, int64_t first, int64_t count) {
  const bool conv = slot.rank() == 4;
  Tensor x = empty_host(conv ? Shape{count, slot[2], slot[3], slot[1]} : Shape{count, slot[1]});
  const std::span<float> values = x.mutable_span<float>();
  std::fill(values.begin(), values.end(), 0.0f);
  const int64_t taps = conv ? slot[2] * slot[3] : 1;
  for (int64_t i = 0; i < count; ++i)
    values[static_cast<size_t>((i * taps + taps / 2) * slot[1] + first + i)] = 1;
  return x;
}

/// A weight out of the form in which it is multiplied: its products with unit vectors, which ask
/// nothing of that form. Exact but for the last bit of 8-bit ones. Costs the weight times its
/// inputs once, for the layers of a DoRA alone.
Tensor unpacked(const PackedParts& parts, const Shape& slot) {
  const auto packed = ops::adopt(parts, Device::kCpu);
  const bool conv = slot.rank() == 4;
  const int64_t outputs = slot[0], inputs = slot[1], taps = conv ? slot[2] * slot[3] : 1;
  const int rows = conv ? static_cast<int>(slot[2] / 2) : 0;
  const int columns = conv ? static_cast<int>(slot[3] / 2) : 0;
  const Conv2dGeometry around{
      .pad_top = rows, .pad_left = columns, .pad_bottom = rows, .pad_right = columns};
  Tensor weight = empty_host(slot);
  const std::span<float> to = weight.mutable_span<float>();
  for (int64_t first = 0; first < inputs; first += kUnitRows) {
    const int64_t count = std::min(kUnitRows, inputs - first);
    const Tensor x = units(slot, first, count);
    // Of a convolution the answer at (y, x) is the tap that sees the middle from there: the last
    // one first.
    const Tensor seen = conv ? ops::conv2d(x, *packed, around) : ops::linear(x, *packed);
    const std::span<const float> from = seen.span<float>();
    for (int64_t i = 0; i < count; ++i)
      for (int64_t tap = 0; tap < taps; ++tap)
        for (int64_t n = 0; n < outputs; ++n)
          to[static_cast<size_t>((n * inputs + first + i) * taps + taps - 1 - tap)] =
              from[static_cast<size_t>((i * taps + tap) * outputs + n)];
  }
  return weight;
}

Tensor weight_of(const AdapterTarget& target, const WeightSlot& slot, const std::string& origin) {
  const auto source = target.weights();
  const TensorSource::Entry* entry = find_by_name(source->entries(), slot.path + ".weight");
  if (!entry)
    fail(ErrorKind::kInternal, origin, "the layer ", slot.path, " must have a weight, found none");
  return entry->packed ? unpacked(source->read_packed(*entry), slot.shape)
                       : source->read(*entry).reshape(slot.shape);
}

std::string kind_of(const std::vector<LayerMatch>& matches) {
  std::set<std::string> kinds;
  int64_t least = 0, most = 0;
  for (const LayerMatch& match : matches) {
    kinds.insert(layer_kind(match.layer->tensors));
    const int64_t rank = layer_rank(match.layer->tensors);
    if (rank == 0) continue;
    least = least ? std::min(least, rank) : rank;
    most = std::max(most, rank);
  }
  std::string text;
  for (const std::string& kind : kinds) text += (text.empty() ? "" : ", ") + kind;
  if (most == 0) return text;
  return least == most ? cat(text, " of rank ", most) : cat(text, " of rank ", least, " to ", most);
}

}  // namespace

std::shared_ptr<const Adapter> Adapter::match(const AdapterFile& file,
                                              std::span<const AdapterTarget> targets, Device device,
                                              size_t max_bytes) {
  const std::vector<LayerMatch> matches = match_layers(file, targets, max_bytes);
  auto adapter = std::make_shared<Adapter>();
  adapter->name_ = file.name;
  adapter->kind_ = kind_of(matches);
  for (const LayerMatch& match : matches) {
    const AdapterTarget& target = *match.target;
    const WeightSlot& slot = match.weight_slot();
    if (!adapter->part(target.component)) adapter->parts_.push_back({target.component, {}});
    const auto delta = pack_layer(match.layer->tensors, slot.shape, slot.format, device,
                                  [&] { return weight_of(target, slot, file.origin); });
    adapter->bytes_ += delta->bytes();
    for (Part& part : adapter->parts_)
      if (part.component == target.component) part.layers.push_back({match.slot, delta});
  }
  return adapter;
}

const Adapter::Part* Adapter::part(std::string_view component) const {
  for (const Part& part : parts_)
    if (part.component == component) return &part;
  return nullptr;
}

std::shared_ptr<const nn::AdapterView> adapter_view(const AdapterSet& set,
                                                    std::string_view component) {
  std::vector<nn::AdapterView::Entry> entries;
  for (const AdapterInUse& use : set) {
    const float weight = component == "unet" ? use.weight : use.text_weight;
    const Adapter::Part* part = use.adapter->part(component);
    if (!part || weight == 0) continue;
    for (const Adapter::Layer& layer : part->layers)
      entries.push_back({layer.slot, nn::apply(layer.delta, weight)});
  }
  if (entries.empty()) return nullptr;
  return std::make_shared<const nn::AdapterView>(std::move(entries));
}

std::shared_ptr<const nn::AdapterView> adapter_view(std::span<const AdapterSet> of_image,
                                                    std::string_view component) {
  std::vector<nn::AdapterView::Entry> entries;
  for (size_t image = 0; image < of_image.size(); ++image)
    for (const AdapterInUse& use : of_image[image]) {
      const float weight = component == "unet" ? use.weight : use.text_weight;
      const Adapter::Part* part = use.adapter->part(component);
      if (!part || weight == 0) continue;
      for (const Adapter::Layer& layer : part->layers) {
        nn::AppliedDelta delta = nn::apply(layer.delta, weight);
        delta.first_image = static_cast<int64_t>(image);
        delta.last_image = delta.first_image + 1;
        entries.push_back({layer.slot, std::move(delta)});
      }
    }
  if (entries.empty()) return nullptr;
  return std::make_shared<const nn::AdapterView>(std::move(entries));
}

std::string text_key(const AdapterSet& set) {
  std::string key;
  for (const AdapterInUse& use : set) {
    const bool text = use.adapter->part("text_encoder") || use.adapter->part("text_encoder_2");
    if (text && use.text_weight != 0)
      key += cat(static_cast<const void*>(use.adapter.get()), "*", use.text_weight, ";");
  }
  return key;
}

}  // namespace tintype
