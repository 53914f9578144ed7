/// CLIP's text tower as checkpoints spell it: transformers' names with and without `text_model.`,
/// and OpenCLIP's. Names as tables, the config from the shapes. Pure functions; nothing is loaded.
/// source  diffusers `loaders/single_file_utils.py` (convert_ldm_clip_checkpoint,
///         convert_open_clip_checkpoint); open_clip `src/open_clip/transformer.py`
#pragma once

#include <string>

#include "base/json.h"
#include "weights/key_map.h"
#include "weights/named_shapes.h"

namespace tintype {

/// What shapes do not tell.
struct TextTowerOptions {
  /// The pooled, projected text is used (SDXL's second tower); else a projection is dropped.
  bool projection = false;
  /// The features come from the layer before the last and nothing else does (SD 2.x): an OpenCLIP
  /// tower's last layer is dropped, as diffusers stores it.
  bool penultimate_only = false;
  /// x sigmoid(1.702x), as OpenAI trained its tower; OpenCLIP's use the exact function.
  bool quick_gelu = false;
};

struct TextTower {
  std::string class_name;  ///< "CLIPTextModel", "CLIPTextModelWithProjection"
  KeyMap keys;             ///< to transformers' names, with `text_model.`
  Json config;             ///< as transformers' config.json
  std::string
      undecided;  ///< why `config` lacks something that only a real config tells; else empty
};

/// True when `names` looks like a text tower, in any of the spellings.
bool is_text_tower(const NamedShapes& names);
/// True when it is spelled as OpenCLIP does.
bool is_open_clip(const NamedShapes& names);
/// throws kUnsupported: something that no CLIP tower lacks is missing, naming the tensor
TextTower describe_text_tower(const NamedShapes& names, const TextTowerOptions& options);

}  // namespace tintype
