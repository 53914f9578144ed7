#include "pipelines/resolve_settings.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "base/text.h"
#include "pipelines/diffusion_run.h"
#include "pipelines/noise.h"
#include "prompts/prompt_syntax.h"

namespace tintype {
namespace {

constexpr int kDefaultSteps = 20;
constexpr int kMaxSidePx = 16384;
constexpr int kMaxBatch = 64;
constexpr int kMaxPaddingPx = 4096;
constexpr int kMaxMaskGrowPx = 512;

int checked_side(const char* name, std::optional<int> side, int fallback, int64_t factor) {
  const int value = side.value_or(fallback);
  TT_REQUIRE(value >= factor && value <= kMaxSidePx && value % factor == 0, name,
             "must be a multiple of ", factor, " in ", factor, "..", kMaxSidePx, ", got ", value);
  return value;
}

std::string checked_name(const char* field, const std::string& name,
                         const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return name;
  fail(ErrorKind::kInvalidArgument, field, unknown_name(name, known));
}

std::string checked_sampler(const DiffusionModel& model, const std::string& wanted) {
  return wanted.empty() ? sampler_for_class(model.schedule.class_name) : canonical_sampler(wanted);
}

int checked_clip_skip(const DiffusionModel& model, int clip_skip) {
  for (const DiffusionModel::TextTower& tower : model.text_towers) {
    const int64_t most = tower.encoder->traits().layers - model.traits.skipped_text_layers;
    TT_REQUIRE(clip_skip >= 0 && clip_skip <= most, "clip_skip", "must be in 0..", most,
               " (the layers of the text encoder that may be skipped), got ", clip_skip);
  }
  return clip_skip;
}

void check_prompts(const DiffusionModel& model, const TextToImageSettings& s) {
  for (const std::string& text :
       {s.prompt, s.negative_prompt.value_or(""), s.prompt_2, s.negative_prompt_2})
    TT_REQUIRE(text.size() <= kMaxPromptBytes, "prompt", "must have at most ", kMaxPromptBytes,
               " bytes, got ", text.size());
  TT_REQUIRE((s.prompt_2.empty() && s.negative_prompt_2.empty()) || model.text_towers.size() > 1,
             "prompt_2", "needs a model with two text encoders, got ", model.name,
             " with one; leave it out");
  TT_REQUIRE(s.negative_prompt_2.empty() || s.negative_prompt || !model.traits.zero_absent_negative,
             "negative_prompt_2", "needs negative_prompt beside it, got none; it may be \"\"");
}

/// Every size set, in bounds that keep them exact in f32.
SizeConditioning checked_size_conditioning(SizeConditioning size, const TextToImageSettings& s) {
  const auto check = [](const char* name, int value, int least) {
    TT_REQUIRE(value >= least && value <= kMaxSidePx, name, "must be in ", least, "..", kMaxSidePx,
               ", got ", value);
    return value;
  };
  size.original_width_px = check("original_width", size.original_width_px.value_or(s.width_px), 1);
  size.original_height_px =
      check("original_height", size.original_height_px.value_or(s.height_px), 1);
  size.target_width_px = check("target_width", size.target_width_px.value_or(s.width_px), 1);
  size.target_height_px = check("target_height", size.target_height_px.value_or(s.height_px), 1);
  check("crop_left", size.crop_left_px, 0);
  check("crop_top", size.crop_top_px, 0);
  for (const float score : {size.aesthetic_score, size.negative_aesthetic_score})
    TT_REQUIRE(std::isfinite(score) && std::fabs(score) <= 1000.0f, "aesthetic_score",
               "must be a number in -1000..1000, got ", score);
  return size;
}

/// That the network takes latents and nothing beside them.
void require_plain_network(const DiffusionModel& model, std::string_view what) {
  const int64_t inputs = model.network->traits().in_channels;
  const int64_t latent = model.codec->traits().latent_channels;
  if (inputs != latent)
    fail(ErrorKind::kUnsupported, model.name, what, " needs a network with ", latent,
         " input channels, as the autoencoder makes, got ", inputs,
         "; this count suggests an inpainting checkpoint, which is for inpainting");
}

/// Fills in the refiner's settings. throws kInvalidArgument, kUnsupported
void resolve_refiner(const DiffusionModel& refiner, const DiffusionModel& base,
                     const TextToImageRequest& request, TextToImageSettings& s) {
  const auto &ours = refiner.codec->traits(), &theirs = base.codec->traits();
  require_plain_network(refiner, "a refiner");
  if (ours.latent_channels != theirs.latent_channels || ours.factor != theirs.factor)
    fail(ErrorKind::kUnsupported, refiner.name, "a refiner must take the latents of ", base.name,
         " (", theirs.latent_channels, " channels, ", theirs.factor, " pixels each way), it takes ",
         ours.latent_channels, " channels, ", ours.factor, " pixels");
  TT_REQUIRE(request.refiner_start > 0 && request.refiner_start < 1, "refiner_start",
             "must lie between 0 and 1, got ", request.refiner_start);
  checked_clip_skip(refiner, request.clip_skip);
  s.refiner_name = refiner.name;
  s.refiner_profile = refiner.profile;
  s.refiner_start = request.refiner_start;
  s.refiner_sampler =
      checked_sampler(refiner, split_sampler_name(request.sampler, request.scheduler).sampler);
  // A run that begins in the middle needs steps that look at nothing before them.
  checked_name("sampler of a refiner", s.refiner_sampler, {"ddim", "euler", "euler_a"});
  sampler_of(refiner, s, s.refiner_sampler);
}

/// What all kinds of requests have in common.
TextToImageSettings resolve_drawing(const DiffusionModel& model, const TextToImageRequest& request,
                                    const DiffusionModel* refiner) {
  const int64_t factor = model.codec->traits().factor;
  TextToImageSettings s;
  s.prompt = request.prompt;
  s.negative_prompt = request.negative_prompt;
  s.prompt_2 = request.prompt_2;
  s.negative_prompt_2 = request.negative_prompt_2;
  TT_REQUIRE(request.size_scale >= 0.1 && request.size_scale <= 8, "size_scale",
             "must be in 0.1..8, got ", request.size_scale);
  const auto own_side = [&](int side) {
    if (request.size_scale == 1) return side;
    const auto multiple = static_cast<int>(4 * factor);  // what the networks halve stays whole
    return std::max(multiple, static_cast<int>(side * request.size_scale) / multiple * multiple);
  };
  s.width_px = checked_side("width", request.width_px, own_side(model.default_width_px()), factor);
  s.height_px =
      checked_side("height", request.height_px, own_side(model.default_height_px()), factor);
  s.steps = request.steps.value_or(default_steps(model));
  TT_REQUIRE(s.steps >= 1 && s.steps <= model.schedule.num_train_timesteps, "steps",
             "must be in 1..", model.schedule.num_train_timesteps,
             " (the checkpoint's training timesteps), got ", s.steps);
  s.guidance_scale = request.guidance_scale.value_or(model.traits.default_guidance);
  TT_REQUIRE(std::isfinite(s.guidance_scale) && std::fabs(s.guidance_scale) <= 1000.0f, "guidance",
             "must be a number in -1000..1000, got ", s.guidance_scale);
  s.guidance_rescale = request.guidance_rescale;
  TT_REQUIRE(s.guidance_rescale >= 0 && s.guidance_rescale <= 1, "guidance_rescale",
             "must be in 0..1, got ", s.guidance_rescale);
  s.eta = request.eta;
  s.reuse_threshold = request.reuse_threshold.value_or(model.default_reuse_threshold);
  TT_REQUIRE(s.reuse_threshold >= 0 && s.reuse_threshold <= 1, "reuse_threshold",
             "must be in 0..1, got ", s.reuse_threshold);
  s.guidance_interval = request.guidance_interval;
  TT_REQUIRE(s.guidance_interval.low >= 0 && s.guidance_interval.high > s.guidance_interval.low,
             "guidance_interval",
             "must be two noise levels of at least 0, the lower one first, got ",
             s.guidance_interval.low, " and ", s.guidance_interval.high);
  s.clip_skip = checked_clip_skip(model, request.clip_skip);
  s.size_conditioning = checked_size_conditioning(request.size_conditioning, s);
  const SamplerChoice choice = split_sampler_name(request.sampler, request.scheduler);
  s.sampler = checked_sampler(model, choice.sampler);
  s.scheduler = choice.scheduler;
  // Steps and scheduler that this sampler or this checkpoint lacks are refused here, before any
  // work.
  sampler_of(model, s, s.sampler);
  if (refiner) resolve_refiner(*refiner, model, request, s);
  s.prompt_syntax = checked_name("prompt_syntax", request.prompt_syntax, prompt_syntax_names());
  check_prompts(model, s);
  s.embeddings = request.embeddings.string();
  s.rng = checked_name("rng", request.rng, noise_names());
  s.variation_seed = request.variation_seed;
  s.variation_strength = request.variation_strength;
  TT_REQUIRE(s.variation_strength >= 0 && s.variation_strength <= 1, "variation_strength",
             "must be in 0..1, got ", s.variation_strength);
  s.batch_size = request.batch_size;
  TT_REQUIRE(s.batch_size >= 1 && s.batch_size <= kMaxBatch, "batch_size", "must be in 1..",
             kMaxBatch, ", got ", s.batch_size);
  s.seed = request.seed ? *request.seed : std::random_device{}();
  s.model_name = model.name;
  s.profile = model.profile;
  s.merged_adapters = model.merged_adapters;
  return s;
}

/// A side of the picture, down to a multiple of what the model takes.
int rounded_side(const DiffusionModel& model, const char* name, int side_px) {
  const int factor = static_cast<int>(model.codec->traits().factor);
  TT_REQUIRE(side_px >= factor, name, "of the picture must be at least ", factor, " pixels, got ",
             side_px);
  return side_px / factor * factor;
}

void check_mask_options(const MaskOptions& options) {
  const auto check = [](const char* name, int value, int most) {
    TT_REQUIRE(value >= 0 && value <= most, name, "must be in 0..", most, ", got ", value);
  };
  const Padding& padding = options.padding;
  for (const int side : {padding.left, padding.top, padding.right, padding.bottom})
    check("pad", side, kMaxPaddingPx);
  check("mask_grow", options.grow_px, kMaxMaskGrowPx);
  check("mask_blur", options.blur_px, kMaxMaskGrowPx);
  check("only_masked_padding", options.only_masked_padding_px, kMaxPaddingPx);
}

void resolve_strength(TextToImageSettings& s, double strength) {
  TT_REQUIRE(strength >= 0 && strength <= 1, "strength", "must be in 0..1, got ", strength);
  s.strength = strength;
  TT_REQUIRE(skipped_steps(s) < s.steps, "strength", strength, " of ", s.steps,
             " steps must be at least one step, got none; ask for more of either");
}

}  // namespace

int default_steps(const DiffusionModel& model) {
  return std::min(kDefaultSteps, model.schedule.num_train_timesteps);
}

int skipped_steps(const TextToImageSettings& s) {
  return s.strength ? s.steps - std::min(static_cast<int>(s.steps * *s.strength), s.steps) : 0;
}

TextToImageSettings resolve_settings(const DiffusionModel& model, const TextToImageRequest& request,
                                     const DiffusionModel* refiner) {
  require_plain_network(model, "text to image");
  return resolve_drawing(model, request, refiner);
}

TextToImageSettings resolve_settings(const DiffusionModel& model,
                                     const ImageToImageRequest& request,
                                     const DiffusionModel* refiner) {
  require_plain_network(model, "image to image");
  TT_REQUIRE(request.image, "image", "image to image needs a picture, got none");
  TextToImageRequest drawing = request.drawing;
  if (!drawing.width_px) drawing.width_px = rounded_side(model, "width", request.image->width_px);
  if (!drawing.height_px)
    drawing.height_px = rounded_side(model, "height", request.image->height_px);
  TextToImageSettings s = resolve_drawing(model, drawing, refiner);
  resolve_strength(s, request.strength);
  s.resize = request.resize;
  return s;
}

bool takes_mask(const DiffusionModel& model) {
  return model.network->traits().in_channels == 2 * model.codec->traits().latent_channels + 1;
}

TextToImageSettings resolve_settings(const DiffusionModel& model, const InpaintRequest& request,
                                     const DiffusionModel* refiner) {
  if (!takes_mask(model)) require_plain_network(model, "inpainting");
  const MaskOptions& options = request.options;
  check_mask_options(options);
  TT_REQUIRE(request.picture.image, "image", "inpainting needs a picture, got none");
  const Image& image = *request.picture.image;
  TT_REQUIRE(request.mask || !options.padding.none(), "mask",
             "inpainting needs a mask or padding, got neither");
  if (request.mask) {
    const Mask& mask = *request.mask;
    TT_REQUIRE(mask.width_px == image.width_px && mask.height_px == image.height_px &&
                   mask.grey.size() * 3 == image.rgb.size(),
               "mask", "must have the picture's size of ", image.width_px, " x ", image.height_px,
               " pixels, got ", mask.width_px, " x ", mask.height_px);
  }
  const int width = image.width_px + options.padding.left + options.padding.right;
  const int height = image.height_px + options.padding.top + options.padding.bottom;
  TextToImageRequest drawing = request.picture.drawing;
  const bool own_size = !drawing.width_px && !drawing.height_px;
  if (!options.only_masked) {
    if (!drawing.width_px) drawing.width_px = rounded_side(model, "width", width);
    if (!drawing.height_px) drawing.height_px = rounded_side(model, "height", height);
  }
  TextToImageSettings s = resolve_drawing(model, drawing, refiner);
  resolve_strength(s, request.picture.strength);
  s.resize = own_size ? ResizeMode::kFit : request.picture.resize;
  s.inpaint = options;
  s.keeps_size = own_size || options.only_masked;
  return s;
}

}  // namespace tintype
