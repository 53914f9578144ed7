/// The UNet in the original (ldm, sgm) layout: its names as a table, its config from the shapes.
/// Pure functions over a file's list of tensors; nothing is loaded.
/// source  diffusers `loaders/single_file_utils.py` (convert_ldm_unet_checkpoint,
///         create_unet_diffusers_config_from_ldm); CompVis
///         `ldm/modules/diffusionmodules/openaimodel.py`
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "weights/key_map.h"
#include "weights/named_shapes.h"

namespace tintype {

/// What shapes do not tell.
struct OriginalUnetOptions {
  /// Heads of every attention (8 in SD 1.x); unset: heads are 64 wide, as in all later ones.
  std::optional<int64_t> heads = {};
  /// Width of the pooled text and how many numbers follow it in the added embedding (6 in SDXL, 5
  /// in its refiner); the width of each number's sinusoid follows. Unset: 256.
  std::optional<int64_t> pooled_width = {};
  int64_t added_numbers = 6;
  int64_t sample_size = 64;  ///< latent size it was trained at
};

struct OriginalUnet {
  KeyMap keys;  ///< to diffusers' names
  Json config;  ///< as diffusers' config.json of a UNet2DConditionModel
  std::string
      undecided;  ///< why `config` lacks something that only a real config tells; else empty
};

/// The path in the original layout of a layer at `path` in diffusers'
/// ("down_blocks.0.resnets.1.conv1"
/// -> "input_blocks.2.0.in_layers.2"), for a network whose resolutions all have `layers` resnets on
/// the way down; "" for what that layout does not have. The inverse of OriginalUnet::keys.
std::string original_unet_path(std::string_view path, int64_t layers, bool up_attention);

/// True when `names` looks like such a UNet.
bool is_original_unet(const NamedShapes& names);
/// throws kUnsupported: a structure that no Stable Diffusion UNet has, naming the tensor that told
OriginalUnet describe_original_unet(const NamedShapes& names, const OriginalUnetOptions& options);

}  // namespace tintype
