/// What a pipeline sees of a model: roles and plain traits, never a family. Implementations live in
/// one folder per model. Immutable after load; all state of a request is passed in.
#pragma once

#include <cstdint>

#include "nn/trace.h"
#include "tensor/tensor.h"

namespace tintype {

/// Token ids to the features that condition the denoising network.
class TextEncoder {
 public:
  struct Traits {
    int64_t window = 0;      ///< S, positions the model knows
    int64_t vocabulary = 0;  ///< V
    int64_t width = 0;       ///< E
  };
  virtual ~TextEncoder() = default;
  virtual const Traits& traits() const = 0;
  /// ids [B,S] i32 -> [B,S,E]
  virtual Tensor encode(const Tensor& ids, const nn::Trace* trace = nullptr) const = 0;
};

/// Predicts noise (or velocity, or the sample) from noisy latents.
class DenoisingNetwork {
 public:
  struct Traits {
    int64_t in_channels = 0, out_channels = 0;
    int64_t context_width = 0;                          ///< E of the text features it expects
    int64_t default_height = 0, default_width = 0;      ///< latent size it was trained at
  };
  virtual ~DenoisingNetwork() = default;
  virtual const Traits& traits() const = 0;
  /// x [B,H,W,Cin], one timestep for the whole batch, context [B,S,E] -> [B,H,W,Cout]
  virtual Tensor forward(const Tensor& x, float timestep, const Tensor& context,
                         const nn::Trace* trace = nullptr) const = 0;
};

/// Pictures to latents and back. Pictures [B,H,W,3] in -1..1.
class LatentCodec {
 public:
  struct Traits {
    int64_t latent_channels = 4;
    int64_t factor = 8;           ///< pixels per latent, each way
    float scaling_factor = 1.0f;  ///< the denoising network's latents are the codec's times this
  };
  virtual ~LatentCodec() = default;
  virtual const Traits& traits() const = 0;
  /// Unscaled latents [B,h,w,C] -> picture [B,h*factor,w*factor,3]
  virtual Tensor decode(const Tensor& latents, const nn::Trace* trace = nullptr) const = 0;
  /// Picture -> mean and log-variance of the unscaled latents, [B,h,w,2C]
  virtual Tensor encode_moments(const Tensor& picture, const nn::Trace* trace = nullptr) const = 0;
};

}  // namespace tintype
