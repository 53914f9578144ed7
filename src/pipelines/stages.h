/// The stages of a picture by themselves: one network call under guidance, pictures to latents and
/// back. Thread-safe: no state.
#pragma once

#include "pipelines/diffusion_model.h"
#include "tintype/image.h"

namespace tintype {

struct Guidance {
  float scale = 1;    ///< read when the conditioning has two rows for each image
  float rescale = 0;  ///< see TextToImageRequest::guidance_rescale
};
/// One network call with guidance: latents [B,h,w,Cin] -> prediction [B,h,w,C]. The conditioning
/// has B rows, or for guidance B negative and then B positive ones (for_batch). `reuse`: of one
/// image's calls, see DenoisingNetwork::forward_reusing.
Tensor predict(const DiffusionModel& model, const Tensor& latents, float timestep,
               const Conditioning& conditioning, const Guidance& guidance,
               StepReuse* reuse = nullptr);

/// A picture [1,H,W,3] to the moments of its latents (LatentCodec::encode_moments). At once, or in
/// bands where they have rows.
Tensor encode_picture(const DiffusionModel& model, const Tensor& picture,
                      const CodecBands& bands = {});

/// Latents to a picture [1,H,W,3] in about -1..1. At once, or in bands where they have rows.
Tensor decode_latents(const DiffusionModel& model, const Tensor& latents,
                      const CodecBands& bands = {});
/// A decoded picture [1,H,W,3] as 8-bit RGB. throws kCorruptFile where it is no number
Image to_image(const Tensor& picture);

/// 8-bit RGB as the picture [1,H,W,3] in -1..1 that the codec takes, on `device`.
Tensor to_picture(const Image& image, Device device);
/// A draw from the posterior of each row's latents, scaled as the network's: mean + deviation *
/// noise. moments [1,h,w,2C]: of LatentCodec::encode_moments; noise [B,h,w,C] on the host ->
/// [B,h,w,C] source  diffusers DiagonalGaussianDistribution.sample
Tensor sample_posterior(const DiffusionModel& model, const Tensor& moments, const Tensor& noise);

}  // namespace tintype
