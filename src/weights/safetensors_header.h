/// The header of a safetensors file: parsed and checked in full, so that every record it returns
/// lies inside the file and fits its shape. Reads no tensor data. Pure functions.
/// source  https://github.com/huggingface/safetensors (README "Format",
/// `safetensors/src/tensor.rs`)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "weights/weights.h"

namespace tintype {

struct SafetensorsHeader {
  /// A tensor's bytes in the file: [begin, begin + bytes), checked.
  struct Extent {
    uint64_t begin;
    uint64_t bytes;
    /// Writes the f16 values of elements that nothing computes with; null: used as they lie.
    void (*widen)(std::span<const std::byte> stored, uint16_t* f16) = nullptr;
  };
  std::vector<TensorSource::Entry> entries;                   ///< sorted by name
  std::vector<Extent> extents;                                ///< of entries[i]
  std::vector<TensorSource::Unreadable> unreadable;           ///< sorted by name
  std::vector<std::pair<std::string, std::string>> metadata;  ///< as in the file
};

/// `file` is the whole file. Memory taken is a small multiple of the header's length, which is at
/// most 100 MB and never more than the file holds.
/// throws kCorruptFile; kUnsupported: a rank above Shape::kMaxRank
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& origin);

}  // namespace tintype
