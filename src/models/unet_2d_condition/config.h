/// config.json of a UNet2DConditionModel. Plain values.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "base/json.h"

namespace tintype {

struct Unet2dConditionConfig {
  int64_t in_channels = 4, out_channels = 4;
  int64_t sample_height = 64, sample_width = 64;  ///< latent size it was trained at
  bool flip_sin_to_cos = true;                    ///< cosines first in the timestep embedding
  double freq_shift = 0;
  int norm_num_groups = 32;
  float norm_eps = 1e-5f;
  Activation act_fn = Activation::kSilu;
  int64_t time_embedding_dim = 0;
  int64_t conv_in_kernel = 3, conv_out_kernel = 3;
  int downsample_padding = 1;
  enum class MidBlock {
    kNone,
    kResnet,     ///< "UNetMidBlock2D": a single resnet, in distilled models
    kAttention,  ///< "UNetMidBlock2DCrossAttn"
  };
  MidBlock mid_block = MidBlock::kAttention;

  /// Added conditioning ("text_time"): pooled text and sinusoids of `addition_time_embed_dim` for
  /// each of some numbers, `added_width` in all. 0: none.
  int64_t added_width = 0, addition_time_embed_dim = 0;

  /// One entry per resolution, finest first.
  struct Level {
    int64_t channels = 0;
    bool down_attention = false;  ///< the down block has cross-attention
    bool up_attention = false;    ///< the up block of this resolution has
    int64_t resnets = 2;          ///< of the down block; the up block has one more
    /// Depth of the transformer after each resnet of the down block, of the up block (one more),
    /// and of the mid block below this level.
    std::vector<int64_t> down_layers, up_layers;
    int64_t mid_layers = 1;
    int64_t heads = 8;
    int64_t cross_attention_dim = 1280;
  };
  std::vector<Level> levels;

  /// Absent keys take diffusers' defaults. throws kCorruptFile, kUnsupported
  static Unet2dConditionConfig from_json(const JsonObject& json);
};

}  // namespace tintype
