/// Adapters added into a model's weights as they are read, before anything packs them: the model
/// costs what it costs without them and keeps them for good. The files stay as they are.
/// Immutable once its adapters are added; sources may be read by several threads.
/// source  diffusers `loaders/lora_base.py` fuse_lora, peft `tuners/lora/layer.py` merge
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter_match.h"

namespace tintype {

class AdapterMerge {
 public:
  /// What weights that change read as: for models in shapes alone the numbers may be any.
  enum class Numbers { kComputed, kLeftOut };
  struct Weights {
    float network = 1, text = 1;  ///< as AdapterInUse's
  };
  /// throws as match_layers
  void add(const AdapterFile& file, std::span<const AdapterTarget> targets, const Weights& weights,
           size_t max_bytes);

  /// `source` of the network `component` with everything added into its weights:
  ///   W' = W + sum_i change_i(W), in f32, and given out so: rounding to f16 costs a picture as
  /// much as 1.3/255 (a tiny SDXL). Several adapters do not see each other's changes, as beside the
  /// weights. Reading throws kUnsupported: a number that is none.
  std::shared_ptr<const TensorSource> over(const std::string& component,
                                           std::shared_ptr<const TensorSource> source,
                                           Numbers numbers = Numbers::kComputed) const;

  struct Change {
    LayerTensors tensors;
    float weight;
    Shape slot;  ///< the layer's shape, which files may spell differently
  };
  /// By the tensor's name.
  using Changes = std::map<std::string, std::vector<Change>, std::less<>>;

 private:
  std::map<std::string, std::shared_ptr<Changes>> components_;
};

}  // namespace tintype
