/// The autoencoder in the original (ldm) layout: its names as a table, its config from the shapes.
/// Pure functions over a file's list of tensors; nothing is loaded.
/// source  diffusers `loaders/single_file_utils.py` (convert_ldm_vae_checkpoint); CompVis
///         `ldm/modules/diffusionmodules/model.py`
#pragma once

#include "base/json.h"
#include "weights/key_map.h"
#include "weights/named_shapes.h"

namespace tintype {

struct OriginalAutoencoder {
  KeyMap keys;  ///< to diffusers' names
  Json config;  ///< as diffusers' config.json of an AutoencoderKL
};

/// True when `names` looks like one, in ldm's names or in diffusers'.
bool is_autoencoder(const NamedShapes& names);
/// Accepts both spellings. `scaling_factor` is not in the shapes.
/// throws kUnsupported: a structure that no Stable Diffusion autoencoder has, naming the tensor
OriginalAutoencoder describe_autoencoder(const NamedShapes& names, double scaling_factor);

}  // namespace tintype
