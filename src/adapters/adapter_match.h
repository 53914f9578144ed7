/// Which layers of a model an adapter's file changes. Pure functions.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapters/adapter_file.h"
#include "weights/weights.h"

namespace tintype {

/// A network that adapters may change.
struct AdapterTarget {
  std::string component;  ///< "unet", "text_encoder", "text_encoder_2"
  const std::vector<WeightSlot>* slots = nullptr;
  /// Its weights as stored, which only DoRA reads.
  std::function<std::shared_ptr<const TensorSource>()> weights = {};
};

/// One layer of a file and the layer of a model that it changes.
struct LayerMatch {
  const AdapterTarget* target;
  int64_t slot;  ///< among the target's
  const AdapterFile::Layer* layer;
  const WeightSlot& weight_slot() const { return (*target->slots)[static_cast<size_t>(slot)]; }
};

/// Every layer of `file` with its slot; they point into the arguments.
/// throws kUnsupported: layers that the model lacks or that have other shapes, all in one message
///        with the nearest names; kOutOfMemory: more than `max_bytes` when packed
std::vector<LayerMatch> match_layers(const AdapterFile& file,
                                     std::span<const AdapterTarget> targets, size_t max_bytes);

}  // namespace tintype
