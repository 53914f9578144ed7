#include "tintype/engine.h"

#include <unistd.h>

#include <mutex>
#include <optional>
#include <thread>
#include <tuple>

#include "backend/registry.h"
#include "base/process_memory.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/op_profile.h"
#include "pipelines/packed_layout.h"
#include "pipelines/request_adapters.h"
#include "pipelines/text_to_image.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

constexpr int kMaxThreads = 1024;

/// What the memory of a picture depends on.
auto identity(const PictureSize& s) {
  return std::make_tuple(s.width_px, s.height_px, s.guidance, s.batch, s.reuse_threshold);
}

class ResidentModel final : public Model {
 public:
  ResidentModel(const CheckpointLayout& layout, Device device, uint64_t memory_limit_bytes,
                uint64_t adapter_budget_bytes, const RunContext& context);
  const ModelInfo& info() const override { return info_; }
  AdapterCounters adapter_counters() const override {
    const AdapterRegistryCounters c = adapters_->counters();
    return {c.hits, c.misses, c.evictions, c.resident, c.resident_bytes, c.budget_bytes};
  }
  AdapterRegistry& adapters() const { return *adapters_; }
  /// fitting_bands() of this model; the last answer is kept, since the prediction takes as long as
  /// all else that happens before a request's first kernel.
  DecodeBands bands_for(const PictureSize& size, uint64_t weight_bytes, uint64_t limit_bytes) const;
  const DiffusionModel& model() const { return model_; }

 private:
  MetaModel meta_;  ///< in shapes alone, for predictions; costs no memory to keep
  ModelInfo info_;
  DiffusionModel model_;
  std::shared_ptr<AdapterRegistry> adapters_;

  struct KnownBands {
    PictureSize size;
    uint64_t weight_bytes = 0, limit_bytes = 0;
    DecodeBands bands;
  };
  mutable std::mutex mutex_;  ///< of the next
  mutable std::optional<KnownBands> known_bands_;
};

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
                 .prediction_type = std::string(to_string(model.schedule.prediction_type)),
                 .profile = layout.profile,
                 .weight_bytes = meta.weight_bytes,
                 .peak_bytes = 0};
  info.peak_bytes =
      meta.weight_bytes + predict_memory(model, {.width_px = info.default_width_px,
                                                 .height_px = info.default_height_px,
                                                 .reuse_threshold = model.default_reuse_threshold})
                              .peak_bytes();
  return info;
}

uint64_t physical_memory_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGE_SIZE);
  return pages > 0 && size > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(size) : 0;
}

/// An allocation that the system grants and cannot back ends the process; a number says why
/// instead. The machine's memory is the limit where none was set.
uint64_t limit_or_machine(uint64_t limit_bytes) {
  return limit_bytes ? limit_bytes : physical_memory_bytes();
}

ResidentModel::ResidentModel(const CheckpointLayout& layout, Device device,
                             uint64_t memory_limit_bytes, uint64_t adapter_budget_bytes,
                             const RunContext& context)
    : meta_(load_meta_model(layout)),
      info_(describe(layout, meta_)),
      model_([&] {
        const uint64_t limit = limit_or_machine(memory_limit_bytes);
        if (limit && meta_.weight_bytes > limit)
          fail(ErrorKind::kOutOfMemory, info_.name, "the weights take ",
               meta_.weight_bytes / 1'000'000, " MB, the limit is ", limit / 1'000'000, " MB");
        return DiffusionModel::load(layout, device, context);
      }()),
      adapters_(make_adapter_registry(model_, layout, adapter_budget_bytes)) {}

DecodeBands ResidentModel::bands_for(const PictureSize& size, uint64_t weight_bytes,
                                     uint64_t limit_bytes) const {
  {
    const std::scoped_lock lock(mutex_);
    if (known_bands_ && identity(known_bands_->size) == identity(size) &&
        known_bands_->weight_bytes == weight_bytes && known_bands_->limit_bytes == limit_bytes)
      return known_bands_->bands;
  }
  const DecodeBands bands = fitting_bands(meta_.model, size, weight_bytes, limit_bytes);
  const std::scoped_lock lock(mutex_);
  known_bands_ = KnownBands{size, weight_bytes, limit_bytes, bands};
  return bands;
}

}  // namespace

Engine::Engine(const EngineOptions& options) : options_(options) {
  TT_REQUIRE(options.threads >= 0 && options.threads <= kMaxThreads, "threads", "must be in 0..",
             kMaxThreads, " (0: one per core), got ", options.threads);
  parse_device(options.device);
  if (options_.threads == 0)
    options_.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::shared_ptr<const Model> Engine::load(const std::filesystem::path& path,
                                          const RunContext& context,
                                          const LoadOptions& options) const {
  const Device device = parse_device(options_.device);
  backend_for(Device::kCpu).use_threads(options_.threads);
  return std::make_shared<ResidentModel>(CheckpointLayout::read(path, options), device,
                                         options_.memory_limit_bytes, options_.adapter_budget_bytes,
                                         context);
}

TextToImageResult Engine::text_to_image(const Model& model, const TextToImageRequest& request,
                                        const RunContext& context, const Model* refiner) const {
  TT_REQUIRE(request.batch_size == 1, "batch_size", "must be 1 where one picture is returned, got ",
             request.batch_size, "; text_to_images returns several");
  return std::move(text_to_images(model, request, context, refiner).front());
}

std::vector<TextToImageResult> Engine::text_to_images(const Model& model,
                                                      const TextToImageRequest& given,
                                                      const RunContext& context,
                                                      const Model* refiner) const {
  const auto* resident = dynamic_cast<const ResidentModel*>(&model);
  const auto* second = dynamic_cast<const ResidentModel*>(refiner);
  TT_REQUIRE(resident && (second || !refiner), "text_to_image",
             "the models must come from Engine::load");
  const DiffusionModel* refining = second ? &second->model() : nullptr;
  const TextToImageRequest request = with_tagged_adapters(given);
  const TextToImageSettings settings = resolve_settings(resident->model(), request, refining);
  const AdapterSet adapters = adapters_of(resident->adapters(), request);
  DecodeBands bands;
  if (const uint64_t limit = limit_or_machine(options_.memory_limit_bytes)) {
    const PictureSize size{.width_px = settings.width_px,
                           .height_px = settings.height_px,
                           .guidance = settings.guidance_scale > 1.0f,
                           .batch = settings.batch_size,
                           .reuse_threshold = settings.reuse_threshold};
    // The weights of both models stay; the last one decodes.
    const uint64_t weights = resident->info().weight_bytes +
                             resident->adapter_counters().resident_bytes +
                             (second ? second->info().weight_bytes : 0);
    bands = resident->bands_for(size, weights, limit);
    if (second) bands = second->bands_for(size, weights, limit);
  }
  backend_for(Device::kCpu).use_threads(options_.threads);
  return tintype::text_to_images(resident->model(), settings, context, refining, bands, adapters);
}

AdapterInfo Engine::load_adapter(const Model& model, const std::filesystem::path& file) const {
  const auto* resident = dynamic_cast<const ResidentModel*>(&model);
  TT_REQUIRE(resident, "load_adapter", "the model must come from Engine::load");
  backend_for(Device::kCpu).use_threads(options_.threads);
  const std::shared_ptr<const Adapter> adapter = resident->adapters().get(file);
  AdapterInfo info{.name = adapter->name(), .kind = adapter->kind(), .bytes = adapter->bytes()};
  for (const Adapter::Part& part : adapter->parts())
    (part.component == "unet" ? info.layers : info.text_layers) += part.layers.size();
  return info;
}

MachineSpeed Engine::measure_machine() const { return tintype::measure_machine(options_.threads); }

PartTimes Engine::measure_part(const Model& model, const MeasureRequest& request,
                               const RunContext& context) const {
  const auto* resident = dynamic_cast<const ResidentModel*>(&model);
  TT_REQUIRE(resident, "measure_part", "the model must come from Engine::load");
  backend_for(Device::kCpu).use_threads(options_.threads);
  return profile_part(resident->model(), request, context);
}

ModelInfo inspect(const std::filesystem::path& path, const LoadOptions& options) {
  const CheckpointLayout layout = CheckpointLayout::read(path, options);
  return describe(layout, load_meta_model(layout));
}

ModelInfo pack(const std::filesystem::path& model, const std::filesystem::path& file,
               const LoadOptions& options, const RunContext& context) {
  write_packed(CheckpointLayout::read(model, options), file, context);
  return inspect(file);
}

std::string version() { return TT_VERSION; }

uint64_t peak_memory_bytes() { return peak_resident_bytes(); }

}  // namespace tintype
