/// A tokenizer's tables as JSON, for packed models. No state, thread-safe.
#pragma once

#include "base/json.h"
#include "tokenizers/clip_files.h"

namespace tintype {

/// Names CLIP's own vocabulary where the tables hold that; writes out any other.
Json to_json(const ClipFiles& files);
/// throws kCorruptFile
ClipFiles clip_files_from_json(const JsonObject& json);

}  // namespace tintype
