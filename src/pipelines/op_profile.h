/// Runs one part of a model by itself and tells where its time goes, op by op. The code that runs
/// is the pipeline's own. Thread-safe: no state.
#pragma once

#include "pipelines/diffusion_model.h"
#include "tintype/measure.h"

namespace tintype {

/// One more pass than asked for, the first to warm up. Step and decode start from a fixed pattern
/// instead of noise, which takes the same time.
/// throws kInvalidArgument: sizes, batch, repeat; kCancelled, kDeadlineExceeded between passes
PartTimes profile_part(const DiffusionModel& model, const MeasureRequest& request,
                       const RunContext& context);

}  // namespace tintype
