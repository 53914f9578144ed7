/// The header of a GGUF file (versions 2 and 3, little-endian): parsed and checked in full, so that
/// every record it returns lies inside the file and fits its shape. Reads no tensor data. Pure
/// functions.
/// source  ggml `docs/gguf.md`
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "weights/gguf_blocks.h"
#include "weights/weights.h"

namespace tintype {

struct GgufHeader {
  /// A tensor's bytes in the file: [begin, begin + bytes), checked.
  struct Extent {
    uint64_t begin;
    uint64_t bytes;
    const GgufBlockFormat* blocks;  ///< null: plain elements
  };
  std::vector<TensorSource::Entry> entries;          ///< sorted by name; f32 for block formats
  std::vector<Extent> extents;                       ///< of entries[i]
  std::vector<TensorSource::Unreadable> unreadable;  ///< sorted by name
};

/// `file` is the whole file. Memory taken is a small multiple of what the header itself occupies.
/// throws kCorruptFile; kUnsupported: another version or byte order, a block format that nothing
/// here reads (naming the tensor), a rank above Shape::kMaxRank
GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& origin);

}  // namespace tintype
