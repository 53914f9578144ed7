/// Opening GGUF checkpoints as stable-diffusion.cpp writes them: tensors under their original
/// names, in f32, f16, bf16 or a quantised block format. Every byte of a file is checked before it
/// is believed. Also the choice between this format and safetensors for a single file.
/// Thread-safety: the functions hold no state; a source is immutable and may be read anywhere.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "weights/weights.h"

namespace tintype {

struct GgufOptions {
  /// What read() turns quantised tensors into: f32 holds their values; f16 takes half the memory
  /// once packed and rounds by a thirtieth of a step of q8_0, the finest format.
  DType widened = DType::kF32;
};

/// One memory-mapped file. Plain tensors are views of the map; quantised ones are dequantised by
/// read(), one at a time.
/// throws kNotFound, kIo, kCorruptFile; kUnsupported: another version, a block format that nothing
/// here reads (naming the tensor), a rank above Shape's
std::shared_ptr<const TensorSource> open_gguf(const std::filesystem::path& file,
                                              const GgufOptions& options = {});

/// The same from bytes in memory, which must outlive the source and its tensors.
std::shared_ptr<const TensorSource> open_gguf_bytes(std::span<const std::byte> bytes,
                                                    std::string origin,
                                                    const GgufOptions& options = {});

/// One file of weights in either format, told by its content; factors of scaled 8-bit weights are
/// applied. throws as open_gguf, open_safetensors and apply_weight_scales
std::shared_ptr<const TensorSource> open_weights_file(const std::filesystem::path& file,
                                                      const GgufOptions& options = {});

}  // namespace tintype
