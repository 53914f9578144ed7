/// The network calls of one request to one network: guidance where the request wants it, and what
/// is reused from one call to the next. Single-thread; belongs to the request.
#pragma once

#include <vector>

#include "pipelines/diffusion_model.h"
#include "pipelines/step_journal.h"
#include "tintype/text_to_image.h"

namespace tintype {

class NetworkCalls {
 public:
  /// `model` and `journal` outlive this. No journal: every call is computed.
  NetworkCalls(const DiffusionModel& model, const TextToImageSettings& settings,
               StepJournal* journal = nullptr);

  /// latents [B,h,w,C] -> prediction [B,h,w,C], guided at noise levels within the interval.
  /// `conditioning` is one image's (encode_prompts), for all of them or for each; the same text. It
  /// outlives this: another one forgets what was kept. The journal answers
  /// as far as it can.
  Tensor predict(const Tensor& latents, float timestep,
                 const std::vector<const Conditioning*>& conditioning);

  int reused(size_t image) const { return reused_[image]; }  ///< calls
  int unguided() const { return unguided_; }   ///< calls without guidance that could have had it
  bool replayed() const { return replayed_; }  ///< whether the journal answered the last call

 private:
  bool guided_at(float timestep) const;
  Tensor compute(const Tensor& latents, float timestep,
                 const std::vector<const Conditioning*>& conditioning, bool left_out);

  const DiffusionModel& model_;
  StepJournal* journal_;
  float scale_, rescale_;
  GuidanceInterval interval_;
  std::vector<float> signal_;  ///< alphas_cumprod; empty when guidance is everywhere
  // The last call's, and what it became for the network.
  std::vector<const Conditioning*> conditioning_;
  bool left_out_ = false;  ///< guidance was
  std::vector<Conditioning>
      rows_;  ///< one for the batch, or where calls may be reused each image's
  /// One for each image, so that a batch's pictures are those drawn alone; none when every call is
  /// computed.
  std::vector<StepReuse> reuse_;
  std::vector<int> reused_;
  int unguided_ = 0;
  bool replayed_ = false;
};

/// Noise level sqrt((1 - a) / a) at a timestep, which may lie between two of the table's or beyond
/// its ends. signal: alphas_cumprod
float sigma_at(const std::vector<float>& signal, float timestep);

}  // namespace tintype
