/// The text-conditioned UNet of Stable Diffusion. Sizes come from its config alone. Immutable after
/// load.
/// paper  Rombach et al. 2022, arXiv:2112.10752; reference: diffusers UNet2DConditionModel
#pragma once

#include <optional>
#include <vector>

#include "models/roles.h"
#include "models/unet_2d_condition/config.h"
#include "models/unet_2d_condition/transformer_2d.h"
#include "nn/resnet.h"

namespace tintype {

class Unet2dConditionModel final : public DenoisingNetwork {
 public:
  Unet2dConditionModel(const WeightScope& w, const Unet2dConditionConfig& config);

  const Traits& traits() const override { return traits_; }
  const std::vector<WeightSlot>& slots() const override { return slots_; }
  /// Traced: `time_embedding`, `conv_in`, `down_blocks.N`, `mid_block`, `up_blocks.N`.
  Tensor forward(const Tensor& x, float timestep, const Conditioning& conditioning,
                 const nn::Trace* trace) const override;
  /// The first block is the first layer of down_blocks.0; kept are the features that enter the last
  /// two layers of the last up block, which take the skips of conv_in and of that first layer.
  Tensor forward_reusing(const Tensor& x, float timestep, const Conditioning& conditioning,
                         StepReuse& reuse) const override;

 private:
  /// What every block is given beside its features.
  struct BlockInputs {
    const Tensor& temb;     ///< after the activation, see ResnetBlock2D
    const Tensor& context;  ///< [B,S,E]
    const nn::AdapterView* adapters = nullptr;
    ContextProjections* projections = nullptr;
  };
  struct DownBlock {
    std::vector<nn::ResnetBlock2D> resnets;
    std::vector<Transformer2DModel> attentions;  ///< one per resnet, or none
    std::optional<nn::Downsample2D> downsampler;
    /// Layers from `first` on and the downsampler; appends every intermediate that an up block will
    /// take back to `skips`.
    Tensor forward(Tensor x, const BlockInputs& in, std::vector<Tensor>& skips,
                   size_t first = 0) const;
    Tensor layer(size_t i, const Tensor& x, const BlockInputs& in,
                 std::vector<Tensor>& skips) const;
  };
  struct MidBlock {
    nn::ResnetBlock2D resnet0;
    std::optional<Transformer2DModel> attention;
    std::optional<nn::ResnetBlock2D> resnet1;  ///< with the attention, or neither
    Tensor forward(const Tensor& x, const BlockInputs& in) const;
  };
  struct UpBlock {
    std::vector<nn::ResnetBlock2D> resnets;
    std::vector<Transformer2DModel> attentions;
    std::optional<nn::Upsample2D> upsampler;
    /// Takes one skip per resnet off the end of `skips`.
    Tensor forward(Tensor x, const BlockInputs& in, std::vector<Tensor>& skips) const;
    /// Layers first..last-1, without the upsampler.
    Tensor layers(size_t first, size_t last, Tensor x, const BlockInputs& in,
                  std::vector<Tensor>& skips) const;
  };

  Tensor run(const Tensor& x, float timestep, const Conditioning& conditioning,
             const nn::Trace* trace, StepReuse* reuse) const;
  void add_down_blocks(const WeightScope& w, const Unet2dConditionConfig& config);
  void add_mid_block(const WeightScope& w, const Unet2dConditionConfig& config);
  void add_up_blocks(const WeightScope& w, const Unet2dConditionConfig& config);
  void require_fit(const Tensor& x, const Conditioning& conditioning) const;
  /// Sinusoids of numbers [B,N], one after another in each row: [B, N*width], on the host.
  Tensor sinusoids(const Tensor& numbers, int64_t width) const;
  /// Timestep and added conditioning, embedded: [B, time_embedding_dim].
  Tensor time_embedding(const Tensor& x, float timestep, const Conditioning& conditioning,
                        const nn::Trace* trace) const;

  Unet2dConditionConfig config_;
  Traits traits_;
  std::vector<WeightSlot> slots_;
  nn::Conv2d conv_in_;
  nn::Linear time_linear_1_, time_linear_2_;
  std::optional<nn::Linear> add_linear_1_, add_linear_2_;
  std::vector<DownBlock> down_blocks_;
  std::optional<MidBlock> mid_block_;
  std::vector<UpBlock> up_blocks_;
  nn::GroupNorm conv_norm_out_;
  nn::Conv2d conv_out_;
};

}  // namespace tintype
