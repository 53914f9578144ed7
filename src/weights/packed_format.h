/// The constants of packed model files that reader and writer share. See docs/packed-models.md.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/checksum.h"

namespace tintype {

static_assert(std::endian::native == std::endian::little);

/// Ends as text does, so that a transfer that rewrites line ends is noticed.
inline constexpr std::array<char, 8> kPackedMagic = {'T', 'T', 'P', 'A', 'C', 'K', '\r', '\n'};
inline constexpr uint32_t kPackedVersion = 1;
/// Of every part and of the index: a cache line, and the widest vector register.
inline constexpr uint64_t kPackedAlignment = 64;

/// The file's first bytes.
struct PackedHeader {
  std::array<char, 8> magic = kPackedMagic;
  uint32_t version = kPackedVersion;
  uint32_t reserved = 0;
  uint64_t file_bytes = 0;
  uint64_t index_offset = 0;  ///< the index ends where the file does
  uint64_t index_bytes = 0;
  uint64_t index_checksum = 0;
  uint64_t reserved_too = 0;
  uint64_t header_checksum = 0;  ///< of all the above

  uint64_t checksum() const {
    return checksum64(
        std::as_bytes(std::span(this, 1)).first(offsetof(PackedHeader, header_checksum)));
  }
};
static_assert(sizeof(PackedHeader) == kPackedAlignment);

constexpr uint64_t packed_aligned(uint64_t offset) {
  return (offset + kPackedAlignment - 1) / kPackedAlignment * kPackedAlignment;
}

}  // namespace tintype
