/// How much memory a picture will take, found by running the pipeline on the meta backend: the same
/// code, shapes only. Thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "pipelines/diffusion_model.h"

namespace tintype {

struct PictureSize {
  int width_px = 0, height_px = 0;
  bool guidance = true;  ///< two rows through the network for each image instead of one
  int batch = 1;         ///< images through the network at once; they are decoded one by one
  bool encodes = false;  ///< a picture to latents, first
  PictureBands bands = {};
  float reuse_threshold = 0;  ///< above 0, what steps may reuse is kept between them
  bool operator==(const PictureSize&) const = default;
};

/// Bytes beside the weights.
struct MemoryPrediction {
  uint64_t denoise_bytes = 0;  ///< prompts and network
  uint64_t decode_bytes = 0;
  uint64_t encode_bytes = 0;
  uint64_t peak_bytes() const { return std::max({denoise_bytes, decode_bytes, encode_bytes}); }
};

/// `meta` must have been loaded to Device::kMeta.
MemoryPrediction predict_memory(const DiffusionModel& meta, const PictureSize& size);

/// Bytes that are in memory beside what a stage needs for itself.
struct StageWeights {
  uint64_t denoise = 0, decode = 0;
  bool operator==(const StageWeights&) const = default;
};

/// The fewest and largest bands in which the picture can be encoded and decoded beside `weights`
/// under `limit_bytes`; no rows where it need not be cut. throws kOutOfMemory saying what the least
/// is
PictureBands fitting_bands(const DiffusionModel& meta, PictureSize size,
                           const StageWeights& weights, uint64_t limit_bytes);

/// What the plan makes of one component's weights.
struct PackedPart {
  PackingCount count;
  uint64_t bytes = 0;
};

/// Loads to Device::kMeta and returns the bytes its weights would take.
struct MetaModel {
  DiffusionModel model;
  uint64_t weight_bytes = 0;
  std::vector<PackedPart> text_towers = {};
  PackedPart network = {}, codec = {};
};
/// The weights that a stage meets: all of them, or when parts are loaded in turn the larger group
/// of each stage.
StageWeights stage_weights(const MetaModel& meta, bool in_turn);

MetaModel load_meta_model(const CheckpointLayout& layout);

}  // namespace tintype
