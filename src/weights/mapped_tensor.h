/// Tensors over the bytes of a mapped file: what the readers of the file formats share.
/// Thread-safety: no state; the tensors may be read anywhere.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/mmap.h"
#include "weights/weights.h"

namespace tintype {

/// `data` as a tensor, in place; copied when it does not lie as its element type needs. Keeps
/// `file` mapped and gives the pages back when the last handle goes. `file` is null when the bytes
/// belong to the caller. The bytes are read-only: writing through a handle of theirs is a caller's
/// fault.
Tensor tensor_in_map(std::shared_ptr<const MappedFile> file, std::span<const std::byte> data,
                     DType dtype, const Shape& shape);

/// Position of `entry` among a source's own entries. throws kInternal: it has none of that name
size_t index_of(const TensorSource& source, const TensorSource::Entry& entry);

}  // namespace tintype
