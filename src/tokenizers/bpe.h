/// Byte-pair merging of one word by ranked merges. Knows ids, not text rules. Immutable after
/// construction, thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tintype {

/// left, right -> result; `rank` is its place in the merges list, lower is merged earlier.
struct BpeMerge {
  int32_t left, right, result;
  uint32_t rank;
  bool operator==(const BpeMerge&) const = default;
};

/// The printable stand-in (UTF-8) of a byte in byte-level vocabularies: itself for ! to ~, U+00A1
/// to U+00AC and U+00AE to U+00FF; the others count up from U+0100.
/// source  GPT-2's bytes_to_unicode
std::string byte_symbol(uint8_t byte);

class BytePairEncoder {
 public:
  struct Alphabet {
    std::array<int32_t, 256> inner;  ///< id of each byte inside a word
    std::array<int32_t, 256> last;   ///< id of each byte at a word's end (its symbol plus "</w>")
    bool operator==(const Alphabet&) const = default;
  };

  /// A pair listed twice counts where it is listed last, as in the reference.
  BytePairEncoder(const Alphabet& alphabet, std::vector<BpeMerge> merges);

  /// Appends the ids of one word (not empty) of UTF-8 bytes. O(n log n) in its length.
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;

 private:
  const BpeMerge* find(int32_t left, int32_t right) const;

  Alphabet alphabet_;
  std::vector<BpeMerge> merges_;  // sorted by (left, right): no hashing that a file could attack
};

}  // namespace tintype
