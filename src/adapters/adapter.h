/// An adapter matched to a model: every layer's change packed once, ready to be multiplied beside
/// the weights of any request. Immutable; shared between requests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter_match.h"
#include "nn/adapter_view.h"

namespace tintype {

class Adapter {
 public:
  struct Layer {
    int64_t slot;
    std::shared_ptr<const nn::LayerDelta> delta;
  };
  struct Part {
    std::string component;
    std::vector<Layer> layers;
  };

  /// Matches every layer of `file` to a slot and packs it for `device`.
  /// throws kUnsupported: layers that the model lacks or that have other shapes, all in one message
  ///        with the nearest names; kOutOfMemory: more than `max_bytes` when packed
  static std::shared_ptr<const Adapter> match(const AdapterFile& file,
                                              std::span<const AdapterTarget> targets, Device device,
                                              size_t max_bytes);

  const std::string& name() const { return name_; }
  const std::string& kind() const { return kind_; }  ///< "LoRA of rank 4 to 16"
  size_t bytes() const { return bytes_; }
  const std::vector<Part>& parts() const { return parts_; }
  /// Null where the adapter leaves this network alone.
  const Part* part(std::string_view component) const;

 private:
  std::string name_, kind_;
  size_t bytes_ = 0;
  std::vector<Part> parts_;
};

/// An adapter of a request. A set is a list of them, in the order in which they are added up.
struct AdapterInUse {
  std::shared_ptr<const Adapter> adapter;
  float weight = 1;       ///< of the denoising network's part
  float text_weight = 1;  ///< of the text encoders' part
};
using AdapterSet = std::vector<AdapterInUse>;

/// The sets of a batch: one for all its pictures, or one for each.
class PictureAdapters {
 public:
  PictureAdapters(AdapterSet all = {}) : sets_{std::move(all)} {}  // NOLINT: a set is one for all
  /// At least one set.
  explicit PictureAdapters(std::vector<AdapterSet> of_picture) : sets_(std::move(of_picture)) {}
  bool differ() const { return sets_.size() > 1; }
  const AdapterSet& of(int picture) const {
    return sets_[differ() ? static_cast<size_t>(picture) : 0];
  }

 private:
  std::vector<AdapterSet> sets_;
};

/// What the set adds to `component`, for all images of a batch; null where that is nothing. Costs a
/// few microseconds: no weight is read, packed or copied.
std::shared_ptr<const nn::AdapterView> adapter_view(const AdapterSet& set,
                                                    std::string_view component);
/// The same with a set for each image of a batch.
std::shared_ptr<const nn::AdapterView> adapter_view(std::span<const AdapterSet> of_image,
                                                    std::string_view component);

/// Tells sets apart that encode a prompt differently: for keys of caches. "" for sets that leave
/// text encoders alone.
std::string text_key(const AdapterSet& set);

}  // namespace tintype
