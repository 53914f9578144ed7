/// 8-bit checkpoints whose weights were divided by a factor before they were stored, as ComfyUI
/// writes them: `X.weight` comes with `X.scale_weight` (or `X.weight_scale`), and a marker
/// `scaled_fp8` may lie beside them. Knows no model. Thread-safety: as any source.
#pragma once

#include <memory>

#include "weights/weights.h"

namespace tintype {

/// `source` with each factor multiplied in by read(), rounded to f16, and the tensors that only
/// describe the storage left out; `source` itself when it has none of them.
/// throws kUnsupported: a factor for each row, or beside weights of another type; kCorruptFile: one
///        without weights. read() throws kCorruptFile: a factor that is no number, kUnsupported:
///        products beyond f16
std::shared_ptr<const TensorSource> apply_weight_scales(std::shared_ptr<const TensorSource> source);

}  // namespace tintype
