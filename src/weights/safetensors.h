/// Opening safetensors checkpoints: one file, an index with its shards, or whichever of these a
/// component's folder holds. Every byte of a file is checked before it is believed; nothing is
/// executed, and pickled files are refused.
/// Thread-safety: the functions hold no state; a source is immutable and may be read anywhere.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "weights/weights.h"

namespace tintype {

/// One memory-mapped file. Tensors are views of the map; one whose offset does not suit its element
/// type is copied.
/// throws kNotFound, kIo, kCorruptFile; kUnsupported: a pickled file, or a rank above Shape's
std::shared_ptr<const TensorSource> open_safetensors(const std::filesystem::path& file);

/// The same from bytes in memory, which must outlive the source and its tensors.
std::shared_ptr<const TensorSource> open_safetensors_bytes(std::span<const std::byte> bytes,
                                                           std::string origin);

/// Shards named by an index ("model.safetensors.index.json"), looked up beside it only.
/// throws as open_safetensors; kNotFound: a shard is missing; kCorruptFile: index and shards differ
std::shared_ptr<const TensorSource> open_sharded_safetensors(const std::filesystem::path& index);

/// The weights of one component: `<stem>.safetensors`, else `<stem>.safetensors.index.json`, else
/// the only variant there is (`<stem>.fp16.safetensors`, `<stem>.safetensors.index.fp16.json`).
/// throws as the functions above; kNotFound: no weights; kUnsupported: several variants to choose
/// from, or pickled weights only
std::shared_ptr<const TensorSource> open_component(const std::filesystem::path& folder,
                                                   std::string_view stem);

}  // namespace tintype
