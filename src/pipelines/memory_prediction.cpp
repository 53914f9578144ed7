#include "pipelines/memory_prediction.h"

#include "backend/meta/meta_backend.h"
#include "ops/ops.h"
#include "pipelines/network_calls.h"
#include "pipelines/prompt_encoding.h"
#include "pipelines/stages.h"

namespace tintype {

MetaModel load_meta_model(const CheckpointLayout& given) {
  CheckpointLayout layout = given;
  std::vector<Component*> components;
  for (CheckpointLayout::TextTower& tower : layout.text_towers)
    components.push_back(&tower.encoder);
  components.insert(components.end(), {&layout.network, &layout.codec});
  for (Component* component : components) component->packing = std::make_shared<PackingCount>();

  // Loading reports twice before the first component and once after each.
  const MetaMemory memory;
  std::vector<uint64_t> held;
  RunContext context;
  context.on_progress = [&](const Progress&) { held.push_back(memory.live_bytes()); };
  MetaModel result{.model = DiffusionModel::load(layout, Device::kMeta, context)};
  result.weight_bytes = memory.live_bytes();
  const auto part = [&](size_t i) {
    return PackedPart{*components[i]->packing, held[i + 2] - held[i + 1]};
  };
  const size_t towers = layout.text_towers.size();
  for (size_t i = 0; i < towers; ++i) result.text_towers.push_back(part(i));
  result.network = part(towers);
  result.codec = part(towers + 1);
  return result;
}

namespace {

constexpr uint64_t kMegabyte = 1'000'000;
// Smaller bands are mostly overlap.
constexpr int64_t kLeastBandRows = 8;

Tensor meta_latents(const DiffusionModel& meta, const PictureSize& size, int64_t images,
                    int64_t channels) {
  const int64_t factor = meta.codec->traits().factor;
  return ops::empty(Shape{images, size.height_px / factor, size.width_px / factor, channels},
                    DType::kF32, Device::kMeta);
}

uint64_t predict_decode(const DiffusionModel& meta, const PictureSize& size) {
  const MetaMemory memory;
  decode_latents(meta, meta_latents(meta, size, 1, meta.codec->traits().latent_channels),
                 size.bands.decode);
  return memory.peak_bytes();
}

uint64_t predict_encode(const DiffusionModel& meta, const PictureSize& size) {
  const MetaMemory memory;
  const Tensor picture =
      ops::empty(Shape{1, size.height_px, size.width_px, 3}, DType::kF32, Device::kMeta);
  encode_picture(meta, picture, size.bands.encode);
  return memory.peak_bytes();
}

/// The fewest and largest bands of one direction with which `predict` stays within `limit_bytes`.
/// bytes  what it predicts without bands; becomes the least that was met
/// returns none, and what would do is not known, where nothing does
CodecBands bands_within(const DiffusionModel& meta, PictureSize size, uint64_t limit_bytes,
                        uint64_t& bytes, CodecBands PictureBands::*direction,
                        uint64_t (*predict)(const DiffusionModel&, const PictureSize&)) {
  const auto& codec = meta.codec->traits();
  CodecBands& bands = size.bands.*direction;
  // A level more in bands costs more time than smaller bands do.
  for (int64_t whole = codec.levels - 1; whole >= 0; --whole) {
    int64_t rows = size.height_px / codec.factor << std::max<int64_t>(whole - 1, 0);
    for (rows /= 2; rows >= kLeastBandRows; rows /= 2) {
      bands = {.whole_levels = whole, .rows = rows};
      bytes = std::min(bytes, predict(meta, size));
      if (bytes <= limit_bytes) return bands;
    }
  }
  return {};
}

}  // namespace

MemoryPrediction predict_memory(const DiffusionModel& meta, const PictureSize& size) {
  MemoryPrediction prediction{.decode_bytes = predict_decode(meta, size)};
  if (size.encodes) prediction.encode_bytes = predict_encode(meta, size);
  const MetaMemory memory;
  TextToImageSettings settings;
  settings.guidance_scale = size.guidance ? 2.0f : 1.0f;
  settings.batch_size = size.batch;
  settings.reuse_threshold = size.reuse_threshold;
  const PromptConditioning prompts = encode_prompts(meta, settings);
  NetworkCalls network(meta, settings);
  const Tensor latents = meta_latents(meta, size, size.batch, meta.network->traits().in_channels);
  // The second call has beside it what the first one keeps.
  for (int call = 0; call < (size.reuse_threshold > 0 ? 2 : 1); ++call)
    network.predict(latents, 999.0f, {&prompts.variants.front()});
  prediction.denoise_bytes = memory.peak_bytes();
  return prediction;
}

StageWeights stage_weights(const MetaModel& meta, bool in_turn) {
  if (!in_turn) return {meta.weight_bytes, meta.weight_bytes};
  uint64_t text = 0;
  for (const PackedPart& tower : meta.text_towers) text += tower.bytes;
  return {std::max(text, meta.network.bytes), meta.codec.bytes};
}

PictureBands fitting_bands(const DiffusionModel& meta, PictureSize size,
                           const StageWeights& weights, uint64_t limit_bytes) {
  // The autoencoder encodes as it decodes: beside the same weights.
  const auto coded = [&](uint64_t bytes) { return weights.decode + bytes <= limit_bytes; };
  MemoryPrediction least = predict_memory(meta, size);
  const bool denoised = weights.denoise + least.denoise_bytes <= limit_bytes;
  if (denoised && !coded(least.encode_bytes))
    size.bands.encode = bands_within(meta, size, limit_bytes - weights.decode, least.encode_bytes,
                                     &PictureBands::encode, predict_encode);
  if (denoised && coded(least.encode_bytes) && !coded(least.decode_bytes))
    size.bands.decode = bands_within(meta, size, limit_bytes - weights.decode, least.decode_bytes,
                                     &PictureBands::decode, predict_decode);
  if (denoised && coded(least.encode_bytes) && coded(least.decode_bytes)) return size.bands;
  const uint64_t drawing = weights.denoise + least.denoise_bytes;
  const uint64_t decoding = weights.decode + std::max(least.decode_bytes, least.encode_bytes);
  fail(ErrorKind::kOutOfMemory, "memory limit",
       size.batch > 1 ? cat("a batch of ", size.batch, " pictures of ") : "a picture of ",
       size.width_px, "x", size.height_px, " takes at least ",
       std::max(drawing, decoding) / kMegabyte, " MB, of which weights ",
       (drawing > decoding ? weights.denoise : weights.decode) / kMegabyte, " MB; the limit is ",
       limit_bytes / kMegabyte, " MB");
}

}  // namespace tintype
