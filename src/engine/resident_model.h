/// A model as the engine keeps it: its networks, what they are, the adapters that they keep, and
/// what their requests take. Immutable after construction but for what is cached, which guards
/// itself.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "pipelines/memory_prediction.h"
#include "pipelines/request_adapters.h"
#include "tintype/engine.h"

namespace tintype {

/// What LoadOptions::offload may say.
inline constexpr const char* kNoOffload = "none";
inline constexpr const char* kSequentialOffload = "sequential";

/// What an engine's models share.
struct SharedByModels {
  uint64_t memory_limit_bytes, adapter_budget_bytes;
  std::shared_ptr<ModelCaches> caches;
  std::shared_ptr<PartsInTurn> turns;
};

class ResidentModel final : public Model {
 public:
  ResidentModel(MetaModel meta, const CheckpointLayout& layout, Device device,
                const std::string& offload, const SharedByModels& shared,
                const RunContext& context);
  const ModelInfo& info() const override { return info_; }
  CacheCounters adapter_cache() const override { return adapters_->counters(); }
  AdapterRegistry& adapters() const { return *adapters_; }
  /// fitting_bands() of this model; the last answer is kept, since the prediction takes as long as
  /// all else that happens before a request's first kernel.
  PictureBands bands_for(const PictureSize& size, const StageWeights& weights,
                         uint64_t limit_bytes) const;
  const DiffusionModel& model() const { return model_; }
  /// The model in shapes alone, for predictions; costs no memory to keep.
  const MetaModel& meta() const { return meta_; }
  bool in_turn() const { return info_.offload == kSequentialOffload; }

 private:
  MetaModel meta_;
  ModelInfo info_;
  DiffusionModel model_;
  std::shared_ptr<AdapterRegistry> adapters_;

  struct KnownBands {
    PictureSize size;
    StageWeights weights;
    uint64_t limit_bytes = 0;
    PictureBands bands;
  };
  mutable std::mutex mutex_;  ///< of the next
  mutable std::optional<KnownBands> known_bands_;
};

ModelInfo describe(const CheckpointLayout& layout, const MetaModel& meta);

/// An allocation that the system grants and cannot back ends the process; a number says why
/// instead. The machine's memory is the limit where none was set.
uint64_t limit_or_machine(uint64_t limit_bytes);

}  // namespace tintype
