/// The averaged copy of the network that training leaves in a checkpoint (`model_ema.`): the same
/// tensors under names without their dots. Thread-safety: as any source.
#pragma once

#include <memory>

#include "weights/weights.h"

namespace tintype {

/// `source` whose `model.diffusion_model.` tensors are those of the averaged copy.
/// throws kUnsupported: there is no copy; kCorruptFile: it lacks a tensor or has another shape
std::shared_ptr<const TensorSource> with_averaged_network(
    std::shared_ptr<const TensorSource> source);

}  // namespace tintype
