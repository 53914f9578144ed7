#include "tintype/engine.h"

#include <algorithm>
#include <thread>

#include "backend/registry.h"
#include "base/process_memory.h"
#include "base/text.h"
#include "engine/resident_model.h"
#include "engine/submission_queue.h"
#include "pipelines/diffusion_run.h"
#include "pipelines/hires.h"
#include "pipelines/image_to_image.h"
#include "pipelines/inpaint.h"
#include "pipelines/op_profile.h"
#include "pipelines/packed_layout.h"
#include "pipelines/request_adapters.h"
#include "pipelines/text_to_image.h"
#include "pipelines/upscale.h"

namespace tintype {
namespace {

constexpr int kMaxThreads = 1024;
std::string checked_offload(const std::string& name) {
  const std::vector<std::string> names = offload_names();
  if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return name;
  fail(ErrorKind::kInvalidArgument, "offload", "must be none or sequential, got \"",
       printable(name, 80), "\"");
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

uint64_t kept_bytes(const Residents& at, const ModelCaches& caches) {
  return caches.bytes() + at.model.adapter_cache().bytes;
}

/// throws kOutOfMemory where the pictures do not fit under the limit, beside `more_bytes` of
/// others'
PictureBands bands_for(const Residents& at, const TextToImageSettings& settings,
                       uint64_t limit_bytes, const ModelCaches& caches, uint64_t more_bytes = 0) {
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
  const StageWeights weights =
      weights_beside(at.model, at.refiner, kept_bytes(at, caches) + more_bytes);
  PictureBands bands = at.model.bands_for(size, weights, limit);
  if (at.refiner) bands.decode = at.refiner->bands_for(size, weights, limit).decode;
  return bands;
}

TextToImageRequest& drawing_of(TextToImageRequest& request) { return request; }
TextToImageRequest& drawing_of(ImageToImageRequest& request) { return request.drawing; }
TextToImageRequest& drawing_of(InpaintRequest& request) { return request.picture.drawing; }

/// A request ready to run.
struct Prepared {
  Residents at;
  TextToImageSettings settings;
  PictureAdapters adapters;
  PictureBands bands;
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
               picture_adapters_of(at.model.adapters(), drawing),
               {}};
  run.bands = bands_for(at, run.settings, options.memory_limit_bytes, caches);
  backend_for(Device::kCpu).use_threads(options.threads);
  return run;
}

class ResidentUpscaler final : public Upscaler {
 public:
  ResidentUpscaler(const std::filesystem::path& path, Device device)
      : device_(device),
        network_(tintype::load_upscaler(path, device)),
        meta_(load_meta_upscaler(path)) {
    const auto& traits = network_->traits();
    info_ = {.name = path.stem().string(),
             .scale = static_cast<int>(traits.scale),
             .receptive_field_px = static_cast<int>(traits.receptive_field),
             .parameters = traits.parameters};
  }
  const UpscalerInfo& info() const override { return info_; }
  const UpscalingNetwork& network() const { return *network_; }
  /// In shapes alone, for predictions.
  const MetaUpscaler& meta() const { return meta_; }
  Device device() const { return device_; }

 private:
  Device device_;
  std::unique_ptr<UpscalingNetwork> network_;
  MetaUpscaler meta_;
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

const ResidentUpscaler& resident_upscaler(const Upscaler& upscaler) {
  const auto* resident = dynamic_cast<const ResidentUpscaler*>(&upscaler);
  TT_REQUIRE(resident, "upscale", "the upscaler must come from Engine::load_upscaler");
  return *resident;
}

/// throws kOutOfMemory where upscaling a picture of this size does not fit under the limit, beside
/// `other_bytes`
void require_upscale_fits(const ResidentUpscaler& upscaler, int width_px, int height_px,
                          const UpscaleOptions& options, uint64_t other_bytes,
                          uint64_t limit_bytes) {
  const uint64_t limit = limit_or_machine(limit_bytes);
  if (!limit) return;
  const uint64_t beside = other_bytes + upscaler.meta().weight_bytes;
  const uint64_t own = predict_upscale(*upscaler.meta().network, width_px, height_px, options);
  if (beside + own > limit)
    fail(ErrorKind::kOutOfMemory, "upscale", "a picture of ", width_px, "x", height_px, " takes ",
         (beside + own) / 1'000'000, " MB to enlarge in tiles of ", options.tile_px,
         " pixels, of which weights and what else is in memory ", beside / 1'000'000,
         " MB; the limit is ", limit / 1'000'000, " MB. Smaller tiles take less");
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
  const MergedLayout merged = with_merged_adapters(CheckpointLayout::read(path, options), options,
                                                   options_.adapter_budget_bytes);
  return std::make_shared<ResidentModel>(
      load_meta_model(merged.shapes), merged.layout, device, offload,
      SharedByModels{options_.memory_limit_bytes, options_.adapter_budget_bytes, caches_, turns_},
      context);
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
  const PictureAdapters adapters = picture_adapters_of(at.model.adapters(), request.drawing);
  const uint64_t limit = options_.memory_limit_bytes;
  uint64_t upscaler_bytes = 0;
  if (request.upscaler) {
    const ResidentUpscaler& upscaler = resident_upscaler(*request.upscaler);
    upscaler_bytes = upscaler.meta().weight_bytes;
    const uint64_t others = weights_beside(at.model, at.refiner, kept_bytes(at, *caches_)).decode;
    require_upscale_fits(upscaler, settings.first.width_px, settings.first.height_px,
                         request.upscale, others, limit);
  }
  // The first pass draws the batch, the second its pictures one by one.
  bands_for(at, settings.first, limit, *caches_, upscaler_bytes);
  const PictureBands bands =
      bands_for(at, settings_of_picture(settings.second, 0), limit, *caches_, upscaler_bytes);
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
  const ResidentUpscaler& resident = resident_upscaler(upscaler);
  if (image.width_px > 0 && image.height_px > 0)
    require_upscale_fits(resident, image.width_px, image.height_px, options, image.rgb.size(),
                         options_.memory_limit_bytes);
  backend_for(Device::kCpu).use_threads(options_.threads);
  return tintype::upscale(resident.network(), resident.device(), image, options, context);
}

MachineSpeed Engine::measure_machine() const { return tintype::measure_machine(options_.threads); }

PartTimes Engine::measure_part(const Model& model, const MeasureRequest& request,
                               const RunContext& context) const {
  const auto* resident = dynamic_cast<const ResidentModel*>(&model);
  TT_REQUIRE(resident, "measure_part", "the model must come from Engine::load");
  backend_for(Device::kCpu).use_threads(options_.threads);
  return profile_part(resident->model(), request, context);
}

std::vector<std::string> offload_names() { return {kNoOffload, kSequentialOffload}; }

ModelInfo inspect(const std::filesystem::path& path, const LoadOptions& options) {
  const CheckpointLayout layout = CheckpointLayout::read(path, options);
  return describe(layout, load_meta_model(layout));
}

ModelInfo pack(const std::filesystem::path& model, const std::filesystem::path& file,
               const LoadOptions& options, const RunContext& context) {
  const MergedLayout merged = with_merged_adapters(CheckpointLayout::read(model, options), options,
                                                   EngineOptions().adapter_budget_bytes);
  write_packed(merged.layout, file, context);
  return inspect(file);
}

std::string version() { return TT_VERSION; }

uint64_t peak_memory_bytes() { return peak_resident_bytes(); }

}  // namespace tintype
