/// Packed models: what their description says about a checkpoint, read and written. The form of the
/// file is weights/packed_file.h's business. Pure functions but for the file written.
#pragma once

#include <filesystem>
#include <string>

#include "pipelines/diffusion_model.h"

namespace tintype {

/// The layout of a packed model. throws kNotFound, kIo, kCorruptFile, kUnsupported
CheckpointLayout read_packed_layout(const std::filesystem::path& file);

/// Writes the checkpoint to `file` in the form in which this machine multiplies it, its weights
/// kept as the layout's profile says. Memory for one weight; the file appears when it is whole.
/// throws as DiffusionModel::load; kInvalidArgument: a checkpoint that is packed already; kIo.
/// returns the file's size in bytes
uint64_t write_packed(const CheckpointLayout& layout, const std::filesystem::path& file,
                      const RunContext& context);

}  // namespace tintype
