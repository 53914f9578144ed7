/// The layout of a checkpoint in one file (safetensors or GGUF, original names). Pure function.
#pragma once

#include "pipelines/diffusion_model.h"

namespace tintype {

/// See CheckpointLayout::read.
CheckpointLayout read_single_file(const std::filesystem::path& file, const LoadOptions& options);

}  // namespace tintype
