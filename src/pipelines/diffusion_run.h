/// The diffusion core that every kind of request shares: prompts encoded, latents denoised through
/// one network or two, decoded. What latents a run starts from is its caller's; see text_to_image,
/// image_to_image and inpaint. Single-thread; belongs to the request.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "adapters/adapter.h"
#include "pipelines/noise.h"
#include "pipelines/prompt_encoding.h"
#include "pipelines/stages.h"
#include "tintype/run_context.h"
#include "tintype/text_to_image.h"

namespace tintype {

class Stopwatch {
 public:
  /// Seconds since construction or the last lap.
  double lap();

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The sampler `name` for a run of the model. throws as make_sampler
std::unique_ptr<Sampler> sampler_of(const DiffusionModel& model, const TextToImageSettings& s,
                                    const std::string& name);

/// The settings that draw picture `index` of a batch alone.
TextToImageSettings settings_of_picture(TextToImageSettings settings, int index);

/// Inpainting's part in a run: which latents are known, and what the network is told of them.
/// Tensors on the host.
struct KnownRegion {
  Tensor mask;  ///< [h,w]: 1 is drawn, 0 is known
  /// [B,h,w,C] of the known picture and the noise that it meets again at each level; for networks
  /// that take latents and nothing else.
  Tensor latents = {}, noise = {};
  /// [B,h,w,1+C]: the mask, and the latents of the picture without what it covers; for networks
  /// with so many input channels more.
  Tensor extra_channels = {};
};

class DiffusionRun {
 public:
  /// Encodes the prompts. A `refiner` removes the last of the noise and decodes; null: none.
  /// `adapters` add to the model, not to the refiner. The arguments but `settings` outlive this.
  /// throws kInvalidArgument when the settings' strength leaves a network no call
  DiffusionRun(const DiffusionModel& model, TextToImageSettings settings, const RunContext& context,
               const DiffusionModel* refiner = nullptr, const PictureAdapters& adapters = {});

  /// Host tensors [B,h,w,C]; the order of these calls is the order of the reference's draws.
  Tensor start_noise() { return stream_.start(latent_shape()); }
  Tensor more_noise() { return stream_.more(latent_shape()); }

  /// Latents [B,h,w,C] of a picture [1,H,W,3] of the settings' size: a draw for each image of the
  /// batch. Host memory. `bands`: see encode_picture.
  Tensor encode(const Tensor& picture, const CodecBands& bands = {});

  /// Start latents: noise alone; or a picture's latents, noised to where the run begins.
  Tensor pure(const Tensor& noise) const;
  Tensor noised(const Tensor& latents, const Tensor& noise) const;

  /// Latents [B,h,w,C] from start to end.
  Tensor denoise(Tensor latents, const KnownRegion* known = nullptr);

  /// The pictures of latents, in order. `bands`: see decode_latents.
  std::vector<TextToImageResult> decode(const Tensor& latents, const CodecBands& bands = {});

  Shape latent_shape() const;

 private:
  /// One network's part: calls first..last-1 of its sampler.
  struct Part {
    const DiffusionModel& model;
    std::vector<PromptConditioning> prompts;  ///< one, or where adapters differ each picture's
    std::unique_ptr<Sampler> sampler;
    int first = 0, last = 0;
    int calls() const { return static_cast<int>(sampler->timesteps().size()); }
    /// What network call `call` is told, as `prompts`.
    std::vector<const Conditioning*> at(int call) const;
  };

  void add_part(const DiffusionModel& model, const std::string& sampler,
                const PictureAdapters& adapters);
  /// The level that latents are at after call `i` of a part; none: the picture is clean.
  std::optional<SignalNoise> level_after(size_t part, int i) const;

  const DiffusionModel& model_;
  TextToImageSettings settings_;
  const RunContext& context_;
  std::vector<Part> parts_;
  BatchNoise stream_;
  std::vector<int> reused_;                                    ///< calls, of each image
  std::vector<std::vector<AdapterSetting>> picture_adapters_;  ///< as Part::prompts
  StageTimings timings_;
  Stopwatch total_, stage_;
};

}  // namespace tintype
