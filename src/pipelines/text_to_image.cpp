#include "pipelines/text_to_image.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "backend/registry.h"
#include "base/text.h"
#include "ops/ops.h"
#include "pipelines/network_calls.h"
#include "pipelines/noise.h"
#include "pipelines/previewer.h"
#include "pipelines/prompt_encoding.h"
#include "prompts/prompt_syntax.h"

namespace tintype {
namespace {

constexpr int kDefaultSteps = 20;
constexpr int kMaxSidePx = 16384;
constexpr int kMaxBatch = 64;

class Stopwatch {
 public:
  /// Seconds since construction or the last lap.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - start_).count();
    start_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

int checked_side(const char* name, std::optional<int> side, int fallback, int64_t factor) {
  const int value = side.value_or(fallback);
  TT_REQUIRE(value >= factor && value <= kMaxSidePx && value % factor == 0, name,
             "must be a multiple of ", factor, " in ", factor, "..", kMaxSidePx, ", got ", value);
  return value;
}

std::string checked_name(const char* field, const std::string& name,
                         const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return name;
  std::string list;
  for (const std::string& entry : known) list += (list.empty() ? "" : ", ") + entry;
  const std::string nearest = nearest_name(name, known);
  fail(ErrorKind::kInvalidArgument, field, "must be one of ", list, ", got \"", printable(name),
       "\"", nearest.empty() ? "" : cat("; did you mean ", nearest, "?"));
}

std::string checked_sampler(const DiffusionModel& model, const std::string& wanted) {
  return wanted.empty() ? sampler_for_class(model.schedule.class_name) : canonical_sampler(wanted);
}

std::unique_ptr<Sampler> sampler_of(const DiffusionModel& model, const TextToImageSettings& s,
                                    const std::string& name) {
  return make_sampler(model.traits.corrects_schedule ? stable_diffusion_config(model.schedule, name)
                                                     : model.schedule,
                      {.name = name,
                       .scheduler = s.scheduler,
                       .steps = s.steps,
                       .sdxl = model.network->traits().added_width > 0,
                       .eta = s.eta});
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

void require_text_to_image(const DiffusionModel& model) {
  const int64_t inputs = model.network->traits().in_channels;
  const int64_t latent = model.codec->traits().latent_channels;
  if (inputs != latent)
    fail(ErrorKind::kUnsupported, model.name, "text to image needs a network with ", latent,
         " input channels, as the autoencoder makes, got ", inputs,
         "; this count suggests an inpainting checkpoint");
}

/// Fills in the refiner's settings. throws kInvalidArgument, kUnsupported
void resolve_refiner(const DiffusionModel& refiner, const DiffusionModel& base,
                     const TextToImageRequest& request, TextToImageSettings& s) {
  const auto &ours = refiner.codec->traits(), &theirs = base.codec->traits();
  require_text_to_image(refiner);
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

/// How many calls of a run lie before the point where `start` of the noise is removed, in training
/// timesteps. source  diffusers pipeline_stable_diffusion_xl.py, denoising_end
int calls_before(const DiffusionModel& model, const Sampler& sampler, double start) {
  const double levels = model.schedule.num_train_timesteps;
  const double cutoff = std::nearbyint(levels - start * levels);
  const auto times = sampler.timesteps();
  return static_cast<int>(
      std::count_if(times.begin(), times.end(), [&](float t) { return t >= cutoff; }));
}

/// One network's part of a run: calls first..last-1 of its sampler.
struct Part {
  const DiffusionModel& model;
  PromptConditioning prompts;
  std::unique_ptr<Sampler> sampler;
  int first = 0, last = 0;
};

/// Text encoders refuse the same files, each in its turn.
void add_new(std::vector<std::string>& all, const std::vector<std::string>& more) {
  for (const std::string& one : more)
    if (std::find(all.begin(), all.end(), one) == all.end()) all.push_back(one);
}

int calls_of(const Part& part) { return static_cast<int>(part.sampler->timesteps().size()); }

/// The networks of a run in their order, their prompts encoded.
std::vector<Part> plan(const DiffusionModel& model, const TextToImageSettings& s,
                       const DiffusionModel* refiner) {
  std::vector<Part> parts;
  const auto add = [&](const DiffusionModel& m, const std::string& sampler) {
    parts.push_back({m, encode_prompts(m, s), sampler_of(m, s, sampler)});
    parts.back().last = calls_of(parts.back());
  };
  add(model, s.sampler);
  if (!refiner) return parts;
  parts[0].last = calls_before(model, *parts[0].sampler, s.refiner_start);
  add(*refiner, s.refiner_sampler);
  parts[1].first = calls_before(*refiner, *parts[1].sampler, s.refiner_start);
  return parts;
}

/// Standard deviation of all elements with Bessel's correction, as torch.std.
double deviation(const Tensor& x) {
  const Tensor host = ops::to_host(x);
  double sum = 0, squares = 0;
  for (const float value : host.span<float>()) sum += value;
  const double count = static_cast<double>(host.numel()), mean = sum / count;
  for (const float value : host.span<float>()) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (count - 1));
}

/// Takes back some of guidance's gain in contrast, for each image by its own deviations.
/// source  Lin et al. 2023, arXiv:2305.08891, section 3.4
Tensor rescale_guided(const Tensor& guided, const Tensor& conditional, float rescale) {
  std::vector<Tensor> images;
  for (int64_t i = 0; i < guided.dim(0); ++i) {
    const Tensor one = guided.slice(i, i + 1);
    const double ratio = deviation(conditional.slice(i, i + 1)) / deviation(one);
    const double weight = rescale * ratio + (1.0 - rescale);
    images.push_back(ops::weighted_sum({{static_cast<float>(weight), &one}}));
  }
  return ops::concat_first(images);
}

/// One stream for each picture, by the settings that draw it alone.
BatchNoise noise_of(const TextToImageSettings& settings) {
  std::vector<NoiseOptions> images;
  for (int i = 0; i < settings.batch_size; ++i) {
    const TextToImageSettings own = settings_of_picture(settings, i);
    images.push_back({.rng = own.rng,
                      .seed = own.seed,
                      .variation_seed = own.variation_seed,
                      .variation_strength = own.variation_strength});
  }
  return BatchNoise(images);
}

Image to_image(const Tensor& picture) {
  const Tensor host = ops::to_host(picture);
  Image image{.width_px = static_cast<int>(host.dim(2)),
              .height_px = static_cast<int>(host.dim(1)),
              .rgb = {}};
  image.rgb.reserve(static_cast<size_t>(host.numel()));
  for (const float value : host.span<float>()) {
    if (!std::isfinite(value))
      fail(ErrorKind::kCorruptFile, "decode", "the picture must be made of numbers, got ", value,
           "; the checkpoint's weights may hold NaN or infinity, or overflow");
    const float unit = std::min(std::max(value * 0.5f + 0.5f, 0.0f), 1.0f);
    image.rgb.push_back(
        static_cast<uint8_t>(std::nearbyint(unit * 255.0f)));  // ties to even, as numpy
  }
  return image;
}

}  // namespace

TextToImageSettings resolve_settings(const DiffusionModel& model, const TextToImageRequest& request,
                                     const DiffusionModel* refiner) {
  require_text_to_image(model);
  const int64_t factor = model.codec->traits().factor;
  TextToImageSettings s;
  s.prompt = request.prompt;
  s.negative_prompt = request.negative_prompt;
  s.prompt_2 = request.prompt_2;
  s.negative_prompt_2 = request.negative_prompt_2;
  s.width_px = checked_side("width", request.width_px, model.default_width_px(), factor);
  s.height_px = checked_side("height", request.height_px, model.default_height_px(), factor);
  s.steps = request.steps.value_or(std::min(kDefaultSteps, model.schedule.num_train_timesteps));
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
  return s;
}

Tensor predict(const DiffusionModel& model, const Tensor& latents, float timestep,
               const Conditioning& conditioning, const Guidance& guidance, StepReuse* reuse) {
  const int64_t images = latents.dim(0);
  const auto network = [&](const Tensor& x) {
    return reuse ? model.network->forward_reusing(x, timestep, conditioning, *reuse)
                 : model.network->forward(x, timestep, conditioning);
  };
  if (conditioning.context.dim(0) == images) return network(latents);
  // Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) as one batch.
  const Tensor both = network(ops::concat_first(latents, latents));
  const Tensor unconditional = both.slice(0, images), conditional = both.slice(images, 2 * images);
  const Tensor direction = ops::weighted_sum({{1.0f, &conditional}, {-1.0f, &unconditional}});
  const Tensor guided = ops::weighted_sum({{1.0f, &unconditional}, {guidance.scale, &direction}});
  return guidance.rescale > 0 ? rescale_guided(guided, conditional, guidance.rescale) : guided;
}

Tensor decode_latents(const DiffusionModel& model, const Tensor& latents,
                      const DecodeBands& bands) {
  const Tensor unscaled =
      ops::weighted_sum({{1.0f / model.codec->traits().scaling_factor, &latents}});
  return bands.rows ? model.codec->decode_in_bands(unscaled, bands) : model.codec->decode(unscaled);
}

TextToImageSettings settings_of_picture(TextToImageSettings settings, int index) {
  (settings.variation_strength > 0 ? settings.variation_seed : settings.seed) +=
      static_cast<uint64_t>(index);
  settings.batch_size = 1;
  return settings;
}

void count_up(TextToImageRequest& request, uint64_t pictures) {
  if (request.variation_strength > 0)
    request.variation_seed += pictures;
  else if (request.seed)
    *request.seed += pictures;
}

std::vector<TextToImageResult> text_to_images(const DiffusionModel& model,
                                              TextToImageSettings settings, const RunContext& run,
                                              const DiffusionModel* refiner,
                                              const DecodeBands& bands) {
  StageTimings timings;
  Stopwatch total, stage;
  const Backend& backend = backend_for(model.device);

  run.report(Stage::kEncodePrompt, 0, 1);
  const std::vector<Part> parts = plan(model, settings, refiner);
  for (const Part& part : parts) {
    settings.prompt_truncated |= part.prompts.truncated;
    add_new(settings.skipped_embeddings, part.prompts.skipped_embeddings);
  }
  run.report(Stage::kEncodePrompt, 1, 1);
  timings.encode_prompt_s = stage.lap();

  const int64_t factor = model.codec->traits().factor;
  const int images = settings.batch_size;
  const Shape shape{images, settings.height_px / factor, settings.width_px / factor,
                    model.codec->traits().latent_channels};
  BatchNoise stream = noise_of(settings);
  const NoiseSource noise = [&](const Shape& wanted) { return stream.more(wanted); };
  const Tensor start = ops::to_device(stream.start(shape), model.device);
  Tensor latents = ops::weighted_sum({{parts[0].sampler->init_noise_sigma(), &start}});

  int calls = 0, done = 0;
  for (const Part& part : parts) calls += part.last - part.first;
  run.report(Stage::kDenoise, 0, calls);
  settings.network_calls = calls;
  std::vector<int> reused(static_cast<size_t>(images), 0);
  for (const Part& part : parts) {
    NetworkCalls network(part.model, settings);
    const Previewer previewer(part.model, run);
    for (int i = part.first; i < part.last; ++i) {
      Stopwatch step;
      const float timestep = part.sampler->timesteps()[static_cast<size_t>(i)];
      const Tensor input = part.sampler->scale_model_input(latents, i);
      const Tensor prediction =
          network.predict(input, timestep, part.prompts.at(i, calls_of(part)));
      latents = part.sampler->step(prediction, i, latents, noise);
      timings.step_s.push_back(step.lap());
      previewer.show({.input = input,
                      .prediction = prediction,
                      .timestep = timestep,
                      .done = done + 1,
                      .calls = calls});
      run.report(Stage::kDenoise, ++done, calls);
    }
    settings.unguided_calls += network.unguided();
    for (size_t i = 0; i < reused.size(); ++i) reused[i] += network.reused(i);
  }
  timings.denoise_s = stage.lap();

  backend.trim();  // the decoder's sizes have nothing in common with the network's
  run.report(Stage::kDecode, 0, images);
  std::vector<TextToImageResult> results(static_cast<size_t>(images));
  for (int i = 0; i < images; ++i) {  // one by one: the decoder needs the most memory of all
    TextToImageResult& result = results[static_cast<size_t>(i)];
    result.image = to_image(decode_latents(parts.back().model, latents.slice(i, i + 1), bands));
    result.settings = settings_of_picture(settings, i);
    result.settings.reused_calls = reused[static_cast<size_t>(i)];
    run.report(Stage::kDecode, i + 1, images);
  }
  backend.trim();
  timings.decode_s = stage.lap();
  timings.total_s = total.lap();
  for (TextToImageResult& result : results) result.timings = timings;
  return results;
}

}  // namespace tintype
