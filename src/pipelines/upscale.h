/// Pictures through an upscaling network, in tiles. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "models/upscaler.h"
#include "tintype/image.h"
#include "tintype/run_context.h"
#include "tintype/upscale.h"

namespace tintype {

/// throws kInvalidArgument: the options, a result over 32768 pixels a side or 2^28 in all;
/// kCancelled, kDeadlineExceeded; kCorruptFile when the network answers with something that is not
/// a number
Image upscale(const UpscalingNetwork& network, Device device, const Image& image,
              const UpscaleOptions& options, const RunContext& context);

/// An upscaler in shapes alone, for predictions, and what its weights take in memory.
struct MetaUpscaler {
  std::unique_ptr<UpscalingNetwork> network;
  uint64_t weight_bytes = 0;
};
/// throws as load_upscaler
MetaUpscaler load_meta_upscaler(const std::filesystem::path& file);

/// Bytes that upscale() takes for a picture of this size beside the network's weights and the
/// picture: its largest tile's and the result's. `meta` is the network on Device::kMeta.
uint64_t predict_upscale(const UpscalingNetwork& meta, int width_px, int height_px,
                         const UpscaleOptions& options);

/// One axis of the tiling: what a tile contributes, begin..end, and what it looks at, from..to. All
/// bounds but the last are multiples of `multiple`.
struct TileSpan {
  int begin = 0, end = 0, from = 0, to = 0;
};
std::vector<TileSpan> tile_spans(int size, int multiple, const UpscaleOptions& options);

}  // namespace tintype
