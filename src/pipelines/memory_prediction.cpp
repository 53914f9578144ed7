#include "pipelines/memory_prediction.h"

#include "backend/meta/meta_backend.h"
#include "ops/ops.h"
#include "pipelines/prompt_encoding.h"
#include "pipelines/text_to_image.h"

namespace tintype {

MetaModel load_meta_model(const CheckpointLayout& layout) {
  const MetaMemory memory;
  MetaModel result{DiffusionModel::load(layout, Device::kMeta, RunContext()), 0};
  result.weight_bytes = memory.live_bytes();
  return result;
}

MemoryPrediction predict_memory(const DiffusionModel& meta, uint64_t weight_bytes,
                                const PictureSize& size) {
  const MetaMemory memory;
  TextToImageSettings settings;
  settings.guidance_scale = size.guidance ? 2.0f : 1.0f;
  const Conditioning conditioning =
      for_batch(encode_prompts(meta, settings).variants.front(), size.batch);
  const auto& codec = meta.codec->traits();
  const auto latents = [&](int64_t images, int64_t channels) {
    return ops::empty(
        Shape{images, size.height_px / codec.factor, size.width_px / codec.factor, channels},
        DType::kF32, Device::kMeta);
  };
  const Tensor noisy = latents(size.batch, meta.network->traits().in_channels);
  predict(meta, noisy, 999.0f, conditioning, {.scale = settings.guidance_scale});
  decode_latents(meta, latents(1, codec.latent_channels));
  return {weight_bytes, weight_bytes + memory.peak_bytes()};
}

}  // namespace tintype
