/// The KL autoencoder of latent diffusion: pictures to latents and back. Immutable after load.
/// paper  Rombach et al. 2022, arXiv:2112.10752; reference: diffusers AutoencoderKL
#pragma once

#include <optional>
#include <vector>

#include "base/json.h"
#include "models/roles.h"
#include "nn/resnet.h"

namespace tintype {

struct AutoencoderKlConfig {
  int64_t in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<int64_t> block_out_channels;
  int64_t layers_per_block = 1;
  int norm_num_groups = 32;
  Activation act_fn = Activation::kSilu;
  float scaling_factor = 0.18215f;
  bool use_quant_conv = true, use_post_quant_conv = true, mid_block_add_attention = true;

  /// Absent keys take diffusers' defaults. throws kCorruptFile, kUnsupported
  static AutoencoderKlConfig from_json(const JsonObject& json);
};

/// Single-head self-attention over all positions, with its own norm and residual.
class AutoencoderAttention {
 public:
  /// Accepts the names of files written before diffusers 0.17 (query, key, value, proj_attn).
  AutoencoderAttention(const WeightScope& w, int64_t channels, int groups);
  /// x [B,H,W,C] -> [B,H,W,C]
  Tensor forward(const Tensor& x) const;

 private:
  nn::GroupNorm group_norm_;
  nn::Linear to_q_, to_k_, to_v_, to_out_;
};

class AutoencoderKl final : public LatentCodec {
 public:
  AutoencoderKl(const WeightScope& w, const AutoencoderKlConfig& config);

  const Traits& traits() const override { return traits_; }
  /// Traced: `decoder.conv_in`, `decoder.mid_block`, `decoder.up_blocks.N`.
  Tensor decode(const Tensor& latents, const nn::Trace* trace) const override;
  Tensor decode_in_bands(const Tensor& latents, const CodecBands& bands) const override;
  /// Traced: `encoder.conv_in`, `encoder.down_blocks.N`, `encoder.mid_block`.
  Tensor encode_moments(const Tensor& picture, const nn::Trace* trace) const override;
  Tensor encode_in_bands(const Tensor& picture, const CodecBands& bands) const override;

 private:
  struct MidBlock {
    nn::ResnetBlock2D resnet0;
    std::optional<AutoencoderAttention> attention;
    nn::ResnetBlock2D resnet1;
    MidBlock(const WeightScope& w, const AutoencoderKlConfig& config);
    Tensor forward(const Tensor& x) const;
  };
  struct DownBlock {
    std::vector<nn::ResnetBlock2D> resnets;
    std::optional<nn::Downsample2D> downsampler;
  };
  struct UpBlock {
    std::vector<nn::ResnetBlock2D> resnets;
    std::optional<nn::Upsample2D> upsampler;
  };
  struct Encoder {
    nn::Conv2d conv_in;
    std::vector<DownBlock> down_blocks;
    MidBlock mid_block;
    nn::GroupNorm conv_norm_out;
    nn::Conv2d conv_out;
    Encoder(const WeightScope& w, const AutoencoderKlConfig& config);
    /// One level, down to the size of the next. In bands: undefined once the pass has enough.
    Tensor level(size_t i, Tensor h, nn::BandMoments* bands, const nn::Trace* trace) const;
    /// The last level's features to those of the latents.
    Tensor end(Tensor h, const nn::Trace* trace) const;
    /// Rows above and below a band, at the size that the first `banded` levels end at, that these
    /// see through their filters.
    int64_t halo(size_t banded) const;
  };
  struct Decoder {
    nn::Conv2d conv_in;
    MidBlock mid_block;
    std::vector<UpBlock> up_blocks;
    nn::GroupNorm conv_norm_out;
    nn::Conv2d conv_out;
    Decoder(const WeightScope& w, const AutoencoderKlConfig& config);
    /// Latents to the mid block's features.
    Tensor begin(const Tensor& latents, const nn::Trace* trace) const;
    /// One level, from the size of the one before. In bands: undefined once the pass has enough.
    Tensor level(size_t i, Tensor h, nn::BandMoments* bands, const nn::Trace* trace) const;
    /// The last level's features to a picture.
    Tensor end(const Tensor& h, nn::BandMoments* bands) const;
    /// Rows above and below a band that the levels from `first` on see through their filters.
    int64_t halo(size_t first) const;
  };

  /// throws kInvalidArgument
  void require_latents(const Tensor& latents) const;
  void require_picture(const Tensor& picture) const;
  /// Of one picture or its latents, `x`.
  void require_bands(const Tensor& x, const CodecBands& bands) const;

  Traits traits_;
  int64_t picture_channels_;
  Encoder encoder_;
  Decoder decoder_;
  std::optional<nn::Conv2d> quant_conv_, post_quant_conv_;
};

}  // namespace tintype
