/// Pictures through an upscaling network, in tiles. Thread-safe: no state.
#pragma once

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

/// One axis of the tiling: what a tile contributes, begin..end, and what it looks at, from..to. All
/// bounds but the last are multiples of `multiple`.
struct TileSpan {
  int begin = 0, end = 0, from = 0, to = 0;
};
std::vector<TileSpan> tile_spans(int size, int multiple, const UpscaleOptions& options);

}  // namespace tintype
