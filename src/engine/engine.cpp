#include "tintype/engine.h"

#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <thread>

#include "backend/registry.h"
#include "base/process_memory.h"
#include "base/text.h"
#include "engine/submission_queue.h"
#include "pipelines/diffusion_run.h"
#include "pipelines/hires.h"
#include "pipelines/image_to_image.h"
#include "pipelines/inpaint.h"
#include "pipelines/memory_prediction.h"
#include "pipelines/op_profile.h"
#include "pipelines/packed_layout.h"
#include "pipelines/request_adapters.h"
#include "pipelines/text_to_image.h"
#include "pipelines/upscale.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

constexpr int kMaxThreads = 1024;
constexpr const char* kNone = "none";
constexpr const char* kSequential = "sequential";

/// What an engine's models share.
struct Shared {
  uint64_t memory_limit_bytes, adapter_budget_bytes;
  std::shared_ptr<ModelCaches> caches;
  std::shared_ptr<PartsInTurn> turns;
};

class ResidentModel final : public Model {
 public:
  ResidentModel(const CheckpointLayout& layout, Device device, const std::string& offload,
                const Shared& shared, const RunContext& context);
  const ModelInfo& info() const override { return info_; }
  AdapterCounters adapter_counters() const override {
    const CacheCounters c = adapters_->counters();
    return {c.hits, c.misses, c.evictions, c.entries, c.bytes, c.budget_bytes};
  }
  AdapterRegistry& adapters() const { return *adapters_; }
  /// fitting_bands() of this model; the last answer is kept, since the prediction takes as long as
  /// all else that happens before a request's first kernel.
  DecodeBands bands_for(const PictureSize& size, const StageWeights& weights,
                        uint64_t limit_bytes) const;
  const DiffusionModel& model() const { return model_; }
  /// The model in shapes alone, for predictions; costs no memory to keep.
  const MetaModel& meta() const { return meta_; }
  bool in_turn() const { return info_.offload == kSequential; }

 private:
  MetaModel meta_;
  ModelInfo info_;
  DiffusionModel model_;
  std::shared_ptr<AdapterRegistry> adapters_;

  struct KnownBands {
    PictureSize size;
    StageWeights weights;
    uint64_t limit_bytes = 0;
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
                 .default_steps = default_steps(model),
                 .max_steps = model.schedule.num_train_timesteps,
                 .default_guidance_scale = model.traits.default_guidance,
                 .takes_mask = takes_mask(model),
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

std::string checked_offload(const std::string& name) {
  const std::vector<std::string> names = offload_names();
  if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return name;
  fail(ErrorKind::kInvalidArgument, "offload", "must be none or sequential, got \"",
       printable(name, 80), "\"");
}

enum class Fit { kNot, kInBands, kWhole };

/// How a picture of the model's own size fits with the stage's weights in memory.
Fit fit_of(const MetaModel& meta, const ModelInfo& info, bool in_turn, uint64_t limit) {
  try {
    const DecodeBands bands = fitting_bands(meta.model,
                                            {.width_px = info.default_width_px,
                                             .height_px = info.default_height_px,
                                             .reuse_threshold = meta.model.default_reuse_threshold},
                                            stage_weights(meta, in_turn), limit);
    return bands.rows ? Fit::kInBands : Fit::kWhole;
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
  if (!limit) return kNone;
  const Fit resident = fit_of(meta, info, false, limit), in_turn = fit_of(meta, info, true, limit);
  const bool draws_so_only =
      resident == Fit::kNot && (in_turn != Fit::kNot || meta.weight_bytes > limit);
  const bool spares_bands = packed && resident == Fit::kInBands && in_turn == Fit::kWhole;
  return draws_so_only || spares_bands ? kSequential : kNone;
}

void require_weights_fit(const ModelInfo& info, const StageWeights& weights, uint64_t limit) {
  const uint64_t most = std::max(weights.denoise, weights.decode);
  if (limit && most > limit)
    fail(ErrorKind::kOutOfMemory, info.name, "the weights ",
         info.offload == kSequential ? "of its largest part " : "", "take ", most / 1'000'000,
         " MB, the limit is ", limit / 1'000'000, " MB");
}

ResidentModel::ResidentModel(const CheckpointLayout& layout, Device device,
                             const std::string& offload, const Shared& shared,
                             const RunContext& context)
    : meta_(load_meta_model(layout)),
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

DecodeBands ResidentModel::bands_for(const PictureSize& size, const StageWeights& weights,
                                     uint64_t limit_bytes) const {
  {
    const std::scoped_lock lock(mutex_);
    if (known_bands_ && known_bands_->size == size && known_bands_->weights == weights &&
        known_bands_->limit_bytes == limit_bytes)
      return known_bands_->bands;
  }
  const DecodeBands bands = fitting_bands(meta_.model, size, weights, limit_bytes);
  const std::scoped_lock lock(mutex_);
  known_bands_ = KnownBands{size, weights, limit_bytes, bands};
  return bands;
}

/// The most that a stage finds in memory: what stays, and the largest of what comes in turn.
StageWeights weights_beside(const ResidentModel& model, const ResidentModel* refiner,
                            uint64_t kept_bytes) {
  StageWeights staying{kept_bytes, kept_bytes}, turning;
  for (const ResidentModel* one : {&model, refiner}) {
    if (!one) continue;
    const StageWeights own = stage_weights(one->meta(), one->in_turn());
    if (one->in_turn()) {
      turning.denoise = std::max(turning.denoise, own.denoise);
      turning.decode = std::max(turning.decode, own.decode);
    } else {
      staying.denoise += own.denoise;
      staying.decode += own.decode;
    }
  }
  return {staying.denoise + turning.denoise, staying.decode + turning.decode};
}

/// The models of a request.
struct Residents {
  const ResidentModel& model;
  const ResidentModel* refiner;
  const DiffusionModel* refining() const { return refiner ? &refiner->model() : nullptr; }
};

Residents residents(const Model& model, const Model* refiner) {
  const auto* first = dynamic_cast<const ResidentModel*>(&model);
  const auto* second = dynamic_cast<const ResidentModel*>(refiner);
  TT_REQUIRE(first && (second || !refiner), "engine", "the models must come from Engine::load");
  return {*first, second};
}

/// throws kOutOfMemory where the pictures do not fit under the limit
DecodeBands bands_for(const Residents& at, const TextToImageSettings& settings,
                      uint64_t limit_bytes, const ModelCaches& caches) {
  const uint64_t limit = limit_or_machine(limit_bytes);
  if (!limit) return {};
  const PictureSize size{
      .width_px = settings.width_px,
      .height_px = settings.height_px,
      .guidance = settings.guidance_scale > 1.0f,
      .batch = settings.batch_size,
      .encodes = settings.strength && !settings.hires_method.starts_with("latent"),
      .reuse_threshold = settings.reuse_threshold};
  // What the caches keep counts, too. The last model decodes.
  const StageWeights weights = weights_beside(
      at.model, at.refiner, caches.bytes() + at.model.adapter_counters().resident_bytes);
  const DecodeBands bands = at.model.bands_for(size, weights, limit);
  return at.refiner ? at.refiner->bands_for(size, weights, limit) : bands;
}

TextToImageRequest& drawing_of(TextToImageRequest& request) { return request; }
TextToImageRequest& drawing_of(ImageToImageRequest& request) { return request.drawing; }
TextToImageRequest& drawing_of(InpaintRequest& request) { return request.picture.drawing; }

/// A request ready to run.
struct Prepared {
  Residents at;
  TextToImageSettings settings;
  AdapterSet adapters;
  DecodeBands bands;
};

/// Checks a request of any kind and finds how its pictures fit into memory.
template <typename Request>
Prepared prepare(const Model& model, Request request, const Model* refiner,
                 const EngineOptions& options, const ModelCaches& caches) {
  const Residents at = residents(model, refiner);
  TextToImageRequest& drawing = drawing_of(request);
  drawing = with_tagged_adapters(std::move(drawing));
  Prepared run{at,
               resolve_settings(at.model.model(), request, at.refining()),
               adapters_of(at.model.adapters(), drawing),
               {}};
  run.bands = bands_for(at, run.settings, options.memory_limit_bytes, caches);
  backend_for(Device::kCpu).use_threads(options.threads);
  return run;
}

class ResidentUpscaler final : public Upscaler {
 public:
  ResidentUpscaler(const std::filesystem::path& path, Device device)
      : device_(device), network_(tintype::load_upscaler(path, device)) {
    const auto& traits = network_->traits();
    info_ = {.name = path.stem().string(),
             .scale = static_cast<int>(traits.scale),
             .receptive_field_px = static_cast<int>(traits.receptive_field),
             .parameters = traits.parameters};
  }
  const UpscalerInfo& info() const override { return info_; }
  const UpscalingNetwork& network() const { return *network_; }
  Device device() const { return device_; }

 private:
  Device device_;
  std::unique_ptr<UpscalingNetwork> network_;
  UpscalerInfo info_;
};

/// A job's work, which keeps model and request alive, and the engine but for its queue: that must
/// end with the caller's engine.
template <typename Request, typename Draw>
SubmissionQueue::Draw job_of(const Engine& runner, std::shared_ptr<const Model> model,
                             Request request, Draw draw) {
  TT_REQUIRE(model, "submit", "needs a model, got none");
  const auto kept = std::make_shared<const Request>(std::move(request));
  return [runner, model = std::move(model), kept, draw](const RunContext& context) {
    return (runner.*draw)(*model, *kept, context, nullptr);
  };
}

}  // namespace

Engine::Engine(const EngineOptions& options)
    : options_(options),
      caches_(
          std::make_shared<ModelCaches>(options.prompt_cache_bytes, options.encoding_cache_bytes)),
      turns_(std::make_shared<PartsInTurn>()),
      queue_(std::make_shared<SubmissionQueue>(options.max_queued_jobs)) {
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
  const std::string offload = checked_offload(options.offload);
  return std::make_shared<ResidentModel>(
      CheckpointLayout::read(path, options), device, offload,
      Shared{options_.memory_limit_bytes, options_.adapter_budget_bytes, caches_, turns_}, context);
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
  const Prepared run = prepare(model, request, refiner, options_, *caches_);
  return tintype::text_to_images(run.at.model.model(), run.settings, context, run.at.refining(),
                                 run.bands, run.adapters);
}

std::vector<TextToImageResult> Engine::image_to_images(const Model& model,
                                                       const ImageToImageRequest& request,
                                                       const RunContext& context,
                                                       const Model* refiner) const {
  const Prepared run = prepare(model, request, refiner, options_, *caches_);
  return tintype::image_to_images(run.at.model.model(), run.settings, request.image, context,
                                  run.at.refining(), run.bands, run.adapters);
}

std::vector<TextToImageResult> Engine::inpaint(const Model& model, const InpaintRequest& request,
                                               const RunContext& context,
                                               const Model* refiner) const {
  const Prepared run = prepare(model, request, refiner, options_, *caches_);
  return inpaint_images(run.at.model.model(), run.settings, request.picture.image, request.mask,
                        context, run.at.refining(), run.bands, run.adapters);
}

Engine Engine::without_queue() const {
  Engine engine = *this;
  engine.queue_ = nullptr;
  return engine;
}

Job Engine::submit(std::shared_ptr<const Model> model, TextToImageRequest request,
                   const JobOptions& options) const {
  return queue_->submit(
      job_of(without_queue(), std::move(model), std::move(request), &Engine::text_to_images),
      options);
}

Job Engine::submit(std::shared_ptr<const Model> model, ImageToImageRequest request,
                   const JobOptions& options) const {
  return queue_->submit(
      job_of(without_queue(), std::move(model), std::move(request), &Engine::image_to_images),
      options);
}

Job Engine::submit(std::shared_ptr<const Model> model, InpaintRequest request,
                   const JobOptions& options) const {
  return queue_->submit(
      job_of(without_queue(), std::move(model), std::move(request), &Engine::inpaint), options);
}

Job Engine::submit(std::shared_ptr<const Model> model, HiresRequest request,
                   const JobOptions& options) const {
  return queue_->submit(
      job_of(without_queue(), std::move(model), std::move(request), &Engine::hires_images),
      options);
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

std::vector<TextToImageResult> Engine::hires_images(const Model& model, const HiresRequest& given,
                                                    const RunContext& context,
                                                    const Model* refiner) const {
  const Residents at = residents(model, refiner);
  HiresRequest request = given;
  request.drawing = with_tagged_adapters(std::move(request.drawing));
  const HiresSettings settings = resolve_settings(at.model.model(), request, at.refining());
  const AdapterSet adapters = adapters_of(at.model.adapters(), request.drawing);
  // The first pass draws the batch, the second its pictures one by one.
  bands_for(at, settings.first, options_.memory_limit_bytes, *caches_);
  const DecodeBands bands =
      bands_for(at, settings_of_picture(settings.second, 0), options_.memory_limit_bytes, *caches_);
  const auto network = [&](const Image& image) {
    return upscale(*request.upscaler, image, request.upscale, context);
  };
  backend_for(Device::kCpu).use_threads(options_.threads);
  return tintype::hires_images(at.model.model(), settings, network, context, at.refining(), bands,
                               adapters);
}

std::vector<CacheCounters> Engine::caches() const {
  return {caches_->prompts.counters(), caches_->encodings.counters()};
}

std::shared_ptr<const Upscaler> Engine::load_upscaler(const std::filesystem::path& path) const {
  backend_for(Device::kCpu).use_threads(options_.threads);
  return std::make_shared<ResidentUpscaler>(path, parse_device(options_.device));
}

Image Engine::upscale(const Upscaler& upscaler, const Image& image, const UpscaleOptions& options,
                      const RunContext& context) const {
  const auto* resident = dynamic_cast<const ResidentUpscaler*>(&upscaler);
  TT_REQUIRE(resident, "upscale", "the upscaler must come from Engine::load_upscaler");
  backend_for(Device::kCpu).use_threads(options_.threads);
  return tintype::upscale(resident->network(), resident->device(), image, options, context);
}

MachineSpeed Engine::measure_machine() const { return tintype::measure_machine(options_.threads); }

PartTimes Engine::measure_part(const Model& model, const MeasureRequest& request,
                               const RunContext& context) const {
  const auto* resident = dynamic_cast<const ResidentModel*>(&model);
  TT_REQUIRE(resident, "measure_part", "the model must come from Engine::load");
  backend_for(Device::kCpu).use_threads(options_.threads);
  return profile_part(resident->model(), request, context);
}

std::vector<std::string> offload_names() { return {kNone, kSequential}; }

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
