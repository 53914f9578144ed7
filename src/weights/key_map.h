/// The key-mapping engine: another source's tensors under new names, by tables that each model's
/// `keys` brings. Knows no model. A pattern is a name cut at its dots, a template is text:
///
///   pattern   `input_blocks.{i}.0.op.{*}`: `{i}` stands for one whole number, `{*}` for one or
///   more
///             segments at the end; a variable's name stands for its value
///   template  `down_blocks.{(i-1)/n}.downsamplers.0.conv.{*}`: whole-number arithmetic over
///   captures
///             and variables
///
/// Thread-safety: the functions hold no state; a source is immutable and may be read anywhere.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/weights.h"

namespace tintype {

/// What happens to a tensor besides its name.
enum class KeyTransform : uint8_t {
  kNone,
  kRowThirds,  ///< [3E,...] -> three of [E,...]; the template's `{qkv}` becomes q, k and v
  kTranspose,  ///< [A,B] -> [B,A]
  kMatrix      ///< [O,I,1,1] -> [O,I]; a matrix stays one
};

struct KeyRule {
  std::string_view from;  ///< pattern
  std::string_view to;    ///< template; empty: the tensor is dropped without complaint
  KeyTransform transform = KeyTransform::kNone;
};

struct KeyVariable {
  std::string_view name;
  int64_t value = 0;
};

/// One component inside a file. For each name the first rule that fits is used; names that no rule
/// fits stay as they are and so become the strict loader's leftovers.
struct KeyMap {
  std::string
      prefix;  ///< names without it belong to others and are not shown; cut off before rules
  std::span<const KeyRule> rules;  ///< must outlive the call only
  std::vector<KeyVariable> variables = {};
};

/// `source` seen through `map`. Entries keep their name in the file in `file_name`.
/// throws kCorruptFile: two tensors get one name, or a shape does not suit its transform;
///        kInternal: a faulty table
std::shared_ptr<const TensorSource> map_keys(std::shared_ptr<const TensorSource> source,
                                             const KeyMap& map);

}  // namespace tintype
