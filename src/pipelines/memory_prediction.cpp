#include "pipelines/memory_prediction.h"

#include "backend/meta/meta_backend.h"
#include "ops/ops.h"
#include "pipelines/network_calls.h"
#include "pipelines/prompt_encoding.h"
#include "pipelines/text_to_image.h"

namespace tintype {

namespace {

/// `load` reads a component, which is then thrown away: shapes cost next to nothing.
template <typename Load>
PackedPart packed_part(Component component, const Load& load) {
  component.packing = std::make_shared<PackingCount>();
  const MetaMemory memory;
  const auto network = load(component, Device::kMeta);
  return {*component.packing, memory.live_bytes()};
}

}  // namespace

MetaModel load_meta_model(const CheckpointLayout& layout) {
  const MetaMemory memory;
  MetaModel result{.model = DiffusionModel::load(layout, Device::kMeta, RunContext())};
  result.weight_bytes = memory.live_bytes();
  for (const CheckpointLayout::TextTower& tower : layout.text_towers)
    result.text_towers.push_back(packed_part(tower.encoder, load_text_encoder));
  result.network = packed_part(layout.network, load_denoising_network);
  result.codec = packed_part(layout.codec, load_latent_codec);
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
                 size.decode_bands);
  return memory.peak_bytes();
}

}  // namespace

MemoryPrediction predict_memory(const DiffusionModel& meta, const PictureSize& size) {
  MemoryPrediction prediction{.decode_bytes = predict_decode(meta, size)};
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
    network.predict(latents, 999.0f, prompts.variants.front());
  prediction.denoise_bytes = memory.peak_bytes();
  return prediction;
}

DecodeBands fitting_bands(const DiffusionModel& meta, PictureSize size, uint64_t weight_bytes,
                          uint64_t limit_bytes) {
  const auto fits = [&](uint64_t bytes) { return weight_bytes + bytes <= limit_bytes; };
  const auto& codec = meta.codec->traits();
  MemoryPrediction least = predict_memory(meta, size);
  if (fits(least.peak_bytes())) return {};
  // A level more in bands costs more time than smaller bands do.
  for (int64_t whole = codec.levels - 1; whole >= 0 && fits(least.denoise_bytes); --whole) {
    int64_t rows = size.height_px / codec.factor << std::max<int64_t>(whole - 1, 0);
    for (rows /= 2; rows >= kLeastBandRows; rows /= 2) {
      size.decode_bands = {.whole_levels = whole, .rows = rows};
      const uint64_t bytes = predict_decode(meta, size);
      if (fits(bytes)) return size.decode_bands;
      least.decode_bytes = std::min(least.decode_bytes, bytes);
    }
  }
  fail(ErrorKind::kOutOfMemory, "memory limit",
       size.batch > 1 ? cat("a batch of ", size.batch, " pictures of ") : "a picture of ",
       size.width_px, "x", size.height_px, " takes at least ",
       (weight_bytes + least.peak_bytes()) / kMegabyte, " MB, of which weights ",
       weight_bytes / kMegabyte, " MB; the limit is ", limit_bytes / kMegabyte, " MB");
}

}  // namespace tintype
