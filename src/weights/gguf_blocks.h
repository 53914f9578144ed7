/// The block formats of quantised tensors in GGUF files, turned back into f32 values. Pure
/// functions. source  ggml `ggml-common.h` (block layouts), `ggml-quants.c` (dequantize_row_*)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tintype {

struct GgufBlockFormat {
  uint32_t id;  ///< in the file
  std::string_view name;
  uint64_t elements;  ///< of one block
  uint64_t bytes;     ///< of one block
  /// One block's values; `block` has `bytes` bytes, `values` room for `elements`.
  void (*dequantize)(const uint8_t* block, float* values);
};

/// Null for a type that is not a block format read here.
const GgufBlockFormat* find_gguf_block_format(uint32_t id);

/// Most elements that a block has.
inline constexpr uint64_t kMaxGgufBlock = 256;

/// ggml's name of a type that nothing here reads ("iq4_xs"); empty when its number means nothing.
std::string_view foreign_gguf_type(uint32_t id);

}  // namespace tintype
