#include "engine/resident_model.h"

#include <algorithm>

#include "base/process_memory.h"
#include "base/text.h"
#include "pipelines/resolve_settings.h"

namespace tintype {
namespace {

ComponentInfo describe(const Component& component, const PackedPart& packed) {
  const SourceSummary summary = summarize(*component.open());
  return {.name = component.name,
          .architecture = component.class_name,
          .parameters = summary.parameters,
          .file_bytes = summary.bytes,
          .storage = summary.storage,
          .profile = component.profile,
          .int8_layers = packed.count.int8_layers,
          .int8_parameters = packed.count.int8_parameters,
          .stored_layers = packed.count.stored_layers,
          .stored_parameters = packed.count.stored_parameters,
          .weight_bytes = packed.bytes};
}

enum class Fit { kNot, kInBands, kWhole };

/// How a picture of the model's own size fits with the stage's weights in memory.
Fit fit_of(const MetaModel& meta, const ModelInfo& info, bool in_turn, uint64_t limit) {
  try {
    const PictureBands bands =
        fitting_bands(meta.model,
                      {.width_px = info.default_width_px,
                       .height_px = info.default_height_px,
                       .reuse_threshold = meta.model.default_reuse_threshold},
                      stage_weights(meta, in_turn), limit);
    return bands.any() ? Fit::kInBands : Fit::kWhole;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kOutOfMemory) throw;
    return Fit::kNot;
  }
}

/// What was asked for; else sequential where that lets the model draw and nothing else does, and
/// for a packed model, whose weights come and go at no cost, where it spares decoding in bands.
std::string resolved_offload(const std::string& wanted, const MetaModel& meta,
                             const ModelInfo& info, bool packed, uint64_t limit) {
  if (!wanted.empty()) return wanted;
  if (!limit) return kNoOffload;
  const Fit resident = fit_of(meta, info, false, limit), in_turn = fit_of(meta, info, true, limit);
  const bool draws_so_only =
      resident == Fit::kNot && (in_turn != Fit::kNot || meta.weight_bytes > limit);
  const bool spares_bands = packed && resident == Fit::kInBands && in_turn == Fit::kWhole;
  return draws_so_only || spares_bands ? kSequentialOffload : kNoOffload;
}

void require_weights_fit(const ModelInfo& info, const StageWeights& weights, uint64_t limit) {
  const uint64_t most = std::max(weights.denoise, weights.decode);
  if (limit && most > limit)
    fail(ErrorKind::kOutOfMemory, info.name, "the weights ",
         info.offload == kSequentialOffload ? "of its largest part " : "", "take ",
         most / 1'000'000, " MB, the limit is ", limit / 1'000'000, " MB");
}

}  // namespace

ModelInfo describe(const CheckpointLayout& layout, const MetaModel& meta) {
  const DiffusionModel& model = meta.model;
  std::vector<ComponentInfo> components;
  for (size_t i = 0; i < layout.text_towers.size(); ++i)
    components.push_back(describe(layout.text_towers[i].encoder, meta.text_towers[i]));
  components.push_back(describe(layout.network, meta.network));
  components.push_back(describe(layout.codec, meta.codec));
  ModelInfo info{.name = model.name,
                 .kind = layout.kind,
                 .note = layout.note,
                 .pipeline = layout.traits.class_name,
                 .components = std::move(components),
                 .default_width_px = model.default_width_px(),
                 .default_height_px = model.default_height_px(),
                 .size_multiple_px = static_cast<int>(model.codec->traits().factor),
                 .default_sampler = has_sampler_for_class(model.schedule.class_name)
                                        ? sampler_for_class(model.schedule.class_name)
                                        : std::string(),
                 .default_steps = default_steps(model),
                 .max_steps = model.schedule.num_train_timesteps,
                 .default_guidance_scale = model.traits.default_guidance,
                 .takes_mask = takes_mask(model),
                 .prediction_type = std::string(to_string(model.schedule.prediction_type)),
                 .profile = layout.profile,
                 .merged_adapters = layout.merged_adapters,
                 .weight_bytes = meta.weight_bytes,
                 .peak_bytes = 0};
  info.peak_bytes =
      meta.weight_bytes + predict_memory(model, {.width_px = info.default_width_px,
                                                 .height_px = info.default_height_px,
                                                 .reuse_threshold = model.default_reuse_threshold})
                              .peak_bytes();
  return info;
}

uint64_t limit_or_machine(uint64_t limit_bytes) {
  return limit_bytes ? limit_bytes : physical_memory_bytes();
}

ResidentModel::ResidentModel(MetaModel meta, const CheckpointLayout& layout, Device device,
                             const std::string& offload, const SharedByModels& shared,
                             const RunContext& context)
    : meta_(std::move(meta)),
      info_(describe(layout, meta_)),
      model_([&] {
        const uint64_t limit = limit_or_machine(shared.memory_limit_bytes);
        info_.offload = resolved_offload(offload, meta_, info_, layout.packed != nullptr, limit);
        require_weights_fit(info_, stage_weights(meta_, in_turn()), limit);
        return in_turn() ? DiffusionModel::load_in_turn(layout, meta_.model, device, shared.turns)
                         : DiffusionModel::load(layout, device, context);
      }()),
      adapters_(make_adapter_registry(model_, layout, shared.adapter_budget_bytes)) {
  model_.caches = shared.caches;
}

PictureBands ResidentModel::bands_for(const PictureSize& size, const StageWeights& weights,
                                      uint64_t limit_bytes) const {
  {
    const std::scoped_lock lock(mutex_);
    if (known_bands_ && known_bands_->size == size && known_bands_->weights == weights &&
        known_bands_->limit_bytes == limit_bytes)
      return known_bands_->bands;
  }
  const PictureBands bands = fitting_bands(meta_.model, size, weights, limit_bytes);
  const std::scoped_lock lock(mutex_);
  known_bands_ = KnownBands{size, weights, limit_bytes, bands};
  return bands;
}

}  // namespace tintype
