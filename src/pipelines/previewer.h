/// Previews of a run: what the network's latest answer says the picture is, made visible by a
/// linear map. Costs microseconds; decoding would cost as much as steps do. Belongs to a request.
#pragma once

#include <vector>

#include "pipelines/diffusion_model.h"
#include "tintype/run_context.h"

namespace tintype {

/// One network call, as seen by who wants to know what it said.
struct NetworkCall {
  const Tensor& input;       ///< [B,h,w,Cin], as the network got it: latents first
  const Tensor& prediction;  ///< [B,h,w,C], guided
  float timestep = 0;
  int done = 0, calls = 0;  ///< of the run, this one counted
};

class Previewer {
 public:
  /// Both outlive this. throws kInvalidArgument: preview_every, preview_size_px
  Previewer(const DiffusionModel& model, const RunContext& run);

  /// Calls RunContext::on_preview for each picture, where a preview is due.
  void show(const NetworkCall& call) const;

 private:
  const DiffusionModel& model_;
  const RunContext& run_;
  LatentRgb map_;              ///< empty when no previews are wanted
  std::vector<float> signal_;  ///< alphas_cumprod
};

/// What the network believes the noiseless latents to be: predicted_latents(...)[i] =
/// input_weight * input[i] + prediction_weight * prediction[i], at signal variance `alpha`, 0..1.
struct DenoisedWeights {
  float input = 0, prediction = 0;
};
DenoisedWeights denoised_weights(PredictionType type, double alpha);

/// [h,w,3] values in -1..1 to 8 bits; bilinear to `size_px` on the longer side unless that is 0.
Image preview_image(std::span<const float> rgb, int64_t height, int64_t width, int size_px);

}  // namespace tintype
