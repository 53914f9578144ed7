#include "tintype/engine.h"

#include <unistd.h>

#include <thread>

#include "backend/registry.h"
#include "base/process_memory.h"
#include "pipelines/image_to_image.h"
#include "pipelines/inpaint.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/op_profile.h"
#include "pipelines/packed_layout.h"
#include "pipelines/text_to_image.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

constexpr int kMaxThreads = 1024;

class ResidentModel final : public Model {
 public:
  ResidentModel(const CheckpointLayout& layout, Device device, uint64_t memory_limit_bytes,
                const RunContext& context);
  const ModelInfo& info() const override { return info_; }
  const DiffusionModel& model() const { return model_; }
  /// The model in shapes alone, for predictions; costs no memory to keep.
  const DiffusionModel& meta() const { return meta_.model; }

 private:
  MetaModel meta_;
  ModelInfo info_;
  DiffusionModel model_;
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
                             uint64_t memory_limit_bytes, const RunContext& context)
    : meta_(load_meta_model(layout)), info_(describe(layout, meta_)), model_([&] {
        const uint64_t limit = limit_or_machine(memory_limit_bytes);
        if (limit && meta_.weight_bytes > limit)
          fail(ErrorKind::kOutOfMemory, info_.name, "the weights take ",
               meta_.weight_bytes / 1'000'000, " MB, the limit is ", limit / 1'000'000, " MB");
        return DiffusionModel::load(layout, device, context);
      }()) {}

/// A request ready to run.
struct Prepared {
  const DiffusionModel& model;
  const DiffusionModel* refiner;
  TextToImageSettings settings;
  DecodeBands bands;
};

/// Checks a request of any kind and finds how its pictures fit into memory.
template <typename Request>
Prepared prepare(const Model& model, const Request& request, const Model* refiner,
                 const EngineOptions& options) {
  const auto* resident = dynamic_cast<const ResidentModel*>(&model);
  const auto* second = dynamic_cast<const ResidentModel*>(refiner);
  TT_REQUIRE(resident && (second || !refiner), "engine", "the models must come from Engine::load");
  const DiffusionModel* refining = second ? &second->model() : nullptr;
  Prepared run{
      resident->model(), refining, resolve_settings(resident->model(), request, refining), {}};
  const TextToImageSettings& settings = run.settings;
  if (const uint64_t limit = limit_or_machine(options.memory_limit_bytes)) {
    const PictureSize size{.width_px = settings.width_px,
                           .height_px = settings.height_px,
                           .guidance = settings.guidance_scale > 1.0f,
                           .batch = settings.batch_size,
                           .encodes = settings.strength.has_value(),
                           .reuse_threshold = settings.reuse_threshold};
    // The weights of both models stay; the last one decodes.
    const uint64_t weights =
        resident->info().weight_bytes + (second ? second->info().weight_bytes : 0);
    run.bands = fitting_bands(resident->meta(), size, weights, limit);
    if (second) run.bands = fitting_bands(second->meta(), size, weights, limit);
  }
  backend_for(Device::kCpu).use_threads(options.threads);
  return run;
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
                                         options_.memory_limit_bytes, context);
}

TextToImageResult Engine::text_to_image(const Model& model, const TextToImageRequest& request,
                                        const RunContext& context, const Model* refiner) const {
  TT_REQUIRE(request.batch_size == 1, "batch_size", "must be 1 where one picture is returned, got ",
             request.batch_size, "; text_to_images returns several");
  return std::move(text_to_images(model, request, context, refiner).front());
}

std::vector<TextToImageResult> Engine::text_to_images(const Model& model,
                                                      const TextToImageRequest& request,
                                                      const RunContext& context,
                                                      const Model* refiner) const {
  const Prepared run = prepare(model, request, refiner, options_);
  return tintype::text_to_images(run.model, run.settings, context, run.refiner, run.bands);
}

std::vector<TextToImageResult> Engine::image_to_images(const Model& model,
                                                       const ImageToImageRequest& request,
                                                       const RunContext& context,
                                                       const Model* refiner) const {
  const Prepared run = prepare(model, request, refiner, options_);
  return tintype::image_to_images(run.model, run.settings, request.image, context, run.refiner,
                                  run.bands);
}

std::vector<TextToImageResult> Engine::inpaint(const Model& model, const InpaintRequest& request,
                                               const RunContext& context,
                                               const Model* refiner) const {
  const Prepared run = prepare(model, request, refiner, options_);
  return inpaint_images(run.model, run.settings, request.picture.image, request.mask, context,
                        run.refiner, run.bands);
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
