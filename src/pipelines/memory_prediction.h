/// How much memory a picture will take, found by running the pipeline on the meta backend: the same
/// code, shapes only. Thread-safe.
#pragma once

#include <cstdint>

#include "pipelines/diffusion_model.h"

namespace tintype {

struct PictureSize {
  int width_px = 0, height_px = 0;
  bool guidance = true;  ///< two rows through the network for each image instead of one
  int batch = 1;         ///< images through the network at once; they are decoded one by one
};

struct MemoryPrediction {
  uint64_t weight_bytes = 0;  ///< packed weights of all parts
  uint64_t peak_bytes = 0;    ///< weights plus the most that activations take at once
};

/// `meta` must have been loaded to Device::kMeta on this thread.
MemoryPrediction predict_memory(const DiffusionModel& meta, uint64_t weight_bytes,
                                const PictureSize& size);

/// Loads to Device::kMeta and returns the bytes its weights would take.
struct MetaModel {
  DiffusionModel model;
  uint64_t weight_bytes = 0;
};
MetaModel load_meta_model(const CheckpointLayout& layout);

}  // namespace tintype
