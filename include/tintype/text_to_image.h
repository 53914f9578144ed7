/// Request and result of text to image. Public. Plain values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tintype/adapter.h"
#include "tintype/image.h"
#include "tintype/mask_options.h"

namespace tintype {

/// What networks with size conditioning (SDXL) are told of a picture: the size their training
/// picture had, what was cropped away, the size it should have. Others ignore it.
struct SizeConditioning {
  std::optional<int> original_width_px = {}, original_height_px = {};  ///< unset: the picture's
  std::optional<int> target_width_px = {}, target_height_px = {};      ///< unset: the picture's
  int crop_left_px = 0, crop_top_px = 0;
  /// Told to a refiner instead of the target size.
  float aesthetic_score = 6.0f, negative_aesthetic_score = 2.5f;
};

/// Noise levels, in units of sigma, low < sigma <= high.
struct GuidanceInterval {
  float low = 0, high = std::numeric_limits<float>::infinity();
  bool everywhere() const { return low <= 0 && high == std::numeric_limits<float>::infinity(); }
};

/// One picture from one prompt. Unset members take the checkpoint's default. Validated by the
/// pipeline, not by the caller.
struct TextToImageRequest {
  std::string prompt = {};  ///< UTF-8; may be empty
  /// What to steer away from; used when guidance_scale > 1. Unset is not "": where the checkpoint
  /// says so (SDXL), no negative prompt is zeros and the empty one is encoded.
  std::optional<std::string> negative_prompt = {};
  /// For the second text encoder of a model that has two (SDXL), as in diffusers; "" is the same as
  /// for the first. A refiner, with its one encoder, reads the first prompts. Where no negative
  /// prompt is zeros, negative_prompt_2 needs negative_prompt beside it.
  std::string prompt_2 = {}, negative_prompt_2 = {};
  std::optional<int> width_px = {};  ///< multiple of ModelInfo::size_multiple_px
  std::optional<int> height_px = {};
  /// 0.1..8, for sides that are not given: times the model's own, in whole multiples of four
  /// latents.
  double size_scale = 1;
  std::optional<int> steps = {};             ///< 1..1000; time is linear in it
  std::optional<float> guidance_scale = {};  ///< at most 1 skips the unconditional pass
  /// 0..1: how much of guidance's gain in contrast is taken back (Lin et al. 2023,
  /// arXiv:2305.08891)
  float guidance_rescale = 0;
  /// 0..1, for the sampler tcd: how far each step goes below its level and back up with fresh
  /// noise. 0 adds none, as diffusers' pipelines do unless told; its authors advise 0.3.
  double eta = 0;
  /// Last layers of the text encoder that the prompt's features do not pass through, beyond those
  /// that the checkpoint's pipeline skips; as diffusers counts them, and as there the negative
  /// prompt's features are left alone.
  int clip_skip = 0;
  SizeConditioning size_conditioning = {};
  /// Where a refiner takes over, as a part of the noise removed; 0..1 exclusive. Read when one is
  /// passed to Engine::text_to_image.
  double refiner_start = 0.8;
  /// "" is the checkpoint's own; see sampler_names(). May end in a scheduler: "DPM++ 2M Karras"
  std::string sampler = {};
  std::string scheduler = {};         ///< "" is the checkpoint's own spacing; see scheduler_names()
  std::optional<uint64_t> seed = {};  ///< unset: drawn once and returned with the picture
  /// How the prompts are read: "plain" (every character is text, as diffusers), "a1111" or "comfy"
  /// (weights, BREAK, editing, windows beyond the first); see docs/prompts.md
  std::string prompt_syntax = "plain";
  /// Textual inversions that the prompts may name, for every text encoder: a safetensors file, or a
  /// folder of them (not of folders inside); "" is none. docs/prompts.md says how names are found.
  std::filesystem::path embeddings = {};
  /// Added up in their order, at most 32; the prompt may name more: `<lora:ink:0.8>`, see
  /// docs/adapters.md. A refiner draws without them.
  std::vector<AdapterUse> adapters = {};
  /// Further ones of each picture of a batch, after `adapters`: empty, or batch_size lists. The
  /// pictures go through the network together, each as it would alone.
  std::vector<std::vector<AdapterUse>> picture_adapters = {};
  std::filesystem::path adapter_folder = {};  ///< where their names are looked up
  /// Noise contract: "torch" is PyTorch's CPU generator, "philox" its GPU generator (A1111)
  std::string rng = "torch";
  uint64_t variation_seed = 0;   ///< mixed into the start noise by variation_strength
  float variation_strength = 0;  ///< 0..1
  /// A network call is reused in part where its first block's output changed by less than this part
  /// of itself since the last call computed whole (StepReuse); 0 computes every call, 1 and more is
  /// no picture. Unset: what the model's profile says, 0 for all but "fast".
  std::optional<float> reuse_threshold = {};
  /// Guidance at noise levels above `low` and up to `high` only, in units of sigma; elsewhere the
  /// negative prompt's pass is left out. Kynkäänniemi et al. 2024, arXiv:2404.07724, advise
  /// 0.28 to 5.42 for SDXL. 0 and infinity: everywhere.
  GuidanceInterval guidance_interval = {};
  /// 1..64 pictures drawn side by side, each bit for bit the one drawn alone with its seed; seeds
  /// count up (count_up). Memory grows with it; time hardly falls where one picture already fills
  /// the cores.
  int batch_size = 1;
};

/// Makes it the request for what follows `pictures` pictures: its seed grows by so many or, where a
/// variation is mixed in, the variation seed does, as A1111 counts. 2^64 is followed by 0.
void count_up(TextToImageRequest& request, uint64_t pictures);

/// An adapter that was used.
struct AdapterSetting {
  std::string name;  ///< its file's
  float weight = 1, text_weight = 1;
};

/// The request with every default filled in: what was really drawn. Of a picture of a batch, what
/// draws it alone.
struct TextToImageSettings {
  std::string prompt;
  std::optional<std::string> negative_prompt;
  std::string prompt_2, negative_prompt_2;  ///< "": as the first
  int width_px = 0, height_px = 0, steps = 0;
  float guidance_scale = 0, guidance_rescale = 0;
  double eta = 0;
  int clip_skip = 0;
  SizeConditioning size_conditioning;  ///< every member set
  std::string sampler, scheduler;
  uint64_t seed = 0;
  std::string prompt_syntax = "plain";
  std::string embeddings;  ///< path; "" is none
  std::vector<AdapterSetting> adapters;
  std::vector<AdapterSetting> merged_adapters;  ///< in the model's weights when it was loaded
  std::string rng;
  uint64_t variation_seed = 0;
  float variation_strength = 0;
  int batch_size = 1;
  std::string model_name;    ///< the checkpoint's folder name
  std::string refiner_name;  ///< "": no refiner, and the next two are not read
  std::string refiner_sampler;
  double refiner_start = 0;
  std::string profile = "exact", refiner_profile = "exact";  ///< see LoadOptions::profile
  float reuse_threshold = 0;
  GuidanceInterval guidance_interval;
  /// What was left out: of `network_calls`, those that reused the deeper blocks of an earlier one,
  /// and those without guidance though the scale asks for it. 0 before the picture is drawn.
  int network_calls = 0, reused_calls = 0, unguided_calls = 0;
  /// Of image to image and inpainting: see ImageToImageRequest. Unset: drawn from text alone.
  std::optional<double> strength;
  /// Of two passes: see HiresRequest. 0: one pass. `width_px` and `height_px` are the second's.
  double hires_scale = 0;
  std::string hires_method, hires_upscaler;
  ResizeMode resize = ResizeMode::kFit;
  std::optional<MaskOptions> inpaint;  ///< unset: the whole picture is drawn
  bool keeps_size =
      false;  ///< of inpainting: the result has the picture's size, not width and height
  bool prompt_truncated = false;  ///< the prompt was longer than the encoder's window
  /// Why files of the embeddings' folder whose name may stand in a prompt were left out.
  std::vector<std::string> skipped_embeddings;
};

/// Wall-clock seconds per stage, of the whole batch.
struct StageTimings {
  double encode_prompt_s = 0, encode_image_s = 0, denoise_s = 0, decode_s = 0, total_s = 0;
  std::vector<double> step_s;  ///< one entry per network call
};

struct TextToImageResult {
  Image image;
  TextToImageSettings settings;
  StageTimings timings;
};

/// The settings in the form that galleries read from a PNG's "parameters" chunk (A1111's).
std::string parameters_text(const TextToImageSettings& settings);
/// The same as one JSON object.
std::string settings_json(const TextToImageSettings& settings);

/// A sampler or a scheduler, and every name that stands for it.
struct SamplerName {
  std::string name;                  ///< canonical
  std::string label;                 ///< as A1111 and galleries write it
  std::vector<std::string> aliases;  ///< names in ComfyUI, A1111 and diffusers, class name included
  bool takes_scheduler = false;      ///< samplers: has schedulers beside the checkpoint's spacing
};
/// Names are accepted whatever their case, spaces, hyphens and underscores.
std::vector<SamplerName> sampler_table();
std::vector<SamplerName> scheduler_table();

/// The canonical names that TextToImageRequest::sampler and ::scheduler accept.
std::vector<std::string> sampler_names();
std::vector<std::string> scheduler_names();

struct SamplerChoice {
  std::string sampler, scheduler;  ///< canonical
};
/// The names as a run takes them. A sampler's as A1111 and galleries write it may end in a
/// scheduler's: "DPM++ 2M Karras" is dpmpp_2m with karras. `scheduler` may be "" or say the same.
/// An empty sampler stays empty.
/// throws kInvalidArgument: unknown names; a scheduler that contradicts the sampler's
SamplerChoice split_sampler_name(std::string_view sampler, std::string_view scheduler);

}  // namespace tintype
