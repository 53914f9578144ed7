/// OpenAI CLIP's vocabulary, which every Stable Diffusion 1.x, 2.x and XL model was trained with
/// and no single-file checkpoint holds. Built into the library (data/clip_merges.txt). No state,
/// thread-safe.
#pragma once

#include "tokenizers/clip_files.h"

namespace tintype {

/// As read_clip_files reads the tokenizer folder that diffusers ships with SD 1.5 and as SDXL's
/// first: 49408 tokens, window 77, padding is EOS. Their ids follow from the merges: 256 bytes, the
/// same at a word's end, one token a merge, BOS, EOS. Takes some 20 ms.
ClipFiles openai_clip_files();

}  // namespace tintype
