#include "pipelines/diffusion_run.h"

#include <algorithm>
#include <cmath>

#include "backend/registry.h"
#include "base/checksum.h"
#include "caches/key_writer.h"
#include "ops/ops.h"
#include "pipelines/network_calls.h"
#include "pipelines/previewer.h"
#include "pipelines/request_adapters.h"
#include "pipelines/resolve_settings.h"

namespace tintype {
namespace {

/// How many calls of a run lie before the point where `start` of the noise is removed, in training
/// timesteps. source  diffusers pipeline_stable_diffusion_xl.py, denoising_end
int calls_before(const DiffusionModel& model, const Sampler& sampler, double start) {
  const double levels = model.schedule.num_train_timesteps;
  const double cutoff = std::nearbyint(levels - start * levels);
  const auto times = sampler.timesteps();
  return static_cast<int>(
      std::count_if(times.begin(), times.end(), [&](float t) { return t >= cutoff; }));
}

/// Text encoders refuse the same files, each in its turn.
void add_new(std::vector<std::string>& all, const std::vector<std::string>& more) {
  for (const std::string& one : more)
    if (std::find(all.begin(), all.end(), one) == all.end()) all.push_back(one);
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

/// Latents where the mask draws, the picture where it knows: that one noised to `level`.
Tensor with_known(const Tensor& latents, const KnownRegion& known,
                  const std::optional<SignalNoise>& level) {
  const Tensor drawn = ops::to_host(latents);
  Tensor result = empty_host(latents.shape());
  const std::span<const float> mask = known.mask.span<float>(), own = drawn.span<float>(),
                               picture = known.latents.span<float>(),
                               noise = known.noise.span<float>();
  const std::span<float> out = result.mutable_span<float>();
  const SignalNoise here = level.value_or(SignalNoise{1, 0});
  const auto channels = static_cast<size_t>(latents.dim(3));
  for (size_t i = 0; i < out.size(); ++i) {
    const float draws = mask[i / channels % mask.size()];
    const float kept = here.alpha * picture[i] + here.sigma * noise[i];
    out[i] = (1 - draws) * kept + draws * own[i];
  }
  return ops::to_device(result, latents.device());
}

/// What a journal calls the records of one network's part of a run.
uint64_t name_of_part(const TextToImageSettings& settings, size_t part) {
  const std::string key = KeyWriter().add(settings_json(settings)).add(part).take();
  return checksum64(std::as_bytes(std::span(key)));
}

}  // namespace

double Stopwatch::lap() {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - start_).count();
  start_ = now;
  return seconds;
}

std::unique_ptr<Sampler> sampler_of(const DiffusionModel& model, const TextToImageSettings& s,
                                    const std::string& name) {
  const auto corrected = model.traits.corrected;
  return make_sampler(corrected ? corrected(model.schedule, name) : model.schedule,
                      {.name = name,
                       .scheduler = s.scheduler,
                       .steps = s.steps,
                       .sdxl = model.network->traits().added_width > 0,
                       .eta = s.eta});
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

DiffusionRun::DiffusionRun(const DiffusionModel& model, TextToImageSettings settings,
                           const RunContext& context, const DiffusionModel* refiner,
                           const PictureAdapters& adapters)
    : model_(model),
      settings_(std::move(settings)),
      context_(context),
      stream_(noise_of(settings_)),
      reused_(static_cast<size_t>(settings_.batch_size), 0) {
  for (int i = 0; i < (adapters.differ() ? settings_.batch_size : 1); ++i)
    picture_adapters_.push_back(adapter_settings(adapters.of(i)));
  context_.report(Stage::kEncodePrompt, 0, 1);
  add_part(model, settings_.sampler, adapters);
  parts_[0].first = parts_[0].sampler->first_call(skipped_steps(settings_));
  if (refiner) {
    add_part(*refiner, settings_.refiner_sampler, {});
    parts_[0].last = calls_before(model, *parts_[0].sampler, settings_.refiner_start);
    parts_[1].first = calls_before(*refiner, *parts_[1].sampler, settings_.refiner_start);
    TT_REQUIRE(parts_[0].first < parts_[0].last, "strength",
               "must leave the base model some steps before the refiner takes over at ",
               settings_.refiner_start, ", got ", settings_.strength.value_or(1));
  }
  for (Part& part : parts_)
    if (part.first > 0) part.sampler->begin_at(part.first);
  context_.report(Stage::kEncodePrompt, 1, 1);
  timings_.encode_prompt_s = stage_.lap();
}

void DiffusionRun::add_part(const DiffusionModel& model, const std::string& sampler,
                            const PictureAdapters& adapters) {
  Part part{model, {}, sampler_of(model, settings_, sampler)};
  for (int i = 0; i < (adapters.differ() ? settings_.batch_size : 1); ++i)
    part.prompts.push_back(encode_prompts(model, settings_, adapters.of(i)));
  part.last = part.calls();
  settings_.prompt_truncated |= part.prompts[0].truncated;
  add_new(settings_.skipped_embeddings, part.prompts[0].skipped_embeddings);
  parts_.push_back(std::move(part));
}

std::vector<const Conditioning*> DiffusionRun::Part::at(int call) const {
  std::vector<const Conditioning*> all;
  for (const PromptConditioning& one : prompts) all.push_back(&one.at(call, calls()));
  return all;
}

Shape DiffusionRun::latent_shape() const {
  const auto& codec = model_.codec->traits();
  return {settings_.batch_size, settings_.height_px / codec.factor,
          settings_.width_px / codec.factor, codec.latent_channels};
}

Tensor DiffusionRun::encode(const Tensor& picture, const CodecBands& bands) {
  context_.report(Stage::kEncodeImage, 0, 1);
  const auto encode = [&] { return encode_picture(model_, picture, bands); };
  Tensor moments;
  if (model_.caches) {
    const Tensor pixels = ops::to_host(picture);
    std::string key =
        KeyWriter().add(model_.id).add(pixels.dim(2)).add(pixels.span<float>()).take();
    const uint64_t key_bytes = key.size();
    moments = *model_.caches->encodings.find_or_make(std::move(key), [&] {
      Tensor made = encode();
      const uint64_t bytes = made.nbytes() + key_bytes;
      return std::pair(std::move(made), bytes);
    });
  } else {
    moments = encode();
  }
  Tensor latents = ops::to_host(sample_posterior(model_, moments, more_noise()));
  context_.report(Stage::kEncodeImage, 1, 1);
  timings_.encode_image_s += stage_.lap();
  return latents;
}

Tensor DiffusionRun::pure(const Tensor& noise) const {
  const Tensor start = ops::to_device(noise, model_.device);
  return ops::weighted_sum({{parts_[0].sampler->init_noise_sigma(), &start}});
}

Tensor DiffusionRun::noised(const Tensor& latents, const Tensor& noise) const {
  const SignalNoise level = parts_[0].sampler->level(parts_[0].first);
  const Tensor picture = ops::to_device(latents, model_.device);
  const Tensor start = ops::to_device(noise, model_.device);
  return ops::weighted_sum({{level.alpha, &picture}, {level.sigma, &start}});
}

std::optional<SignalNoise> DiffusionRun::level_after(size_t part, int i) const {
  if (i + 1 < parts_[part].last) return parts_[part].sampler->level(i + 1);
  if (part + 1 == parts_.size()) return {};
  return parts_[part + 1].sampler->level(parts_[part + 1].first);
}

Tensor DiffusionRun::denoise(Tensor latents, const KnownRegion* known) {
  int calls = 0, done = 0;
  for (const Part& part : parts_) calls += part.last - part.first;
  settings_.network_calls = calls;
  context_.report(Stage::kDenoise, 0, calls);
  const NoiseSource noise = [&](const Shape& wanted) { return stream_.more(wanted); };
  for (size_t p = 0; p < parts_.size(); ++p) {
    const Part& part = parts_[p];
    const bool sees_mask = known && takes_mask(part.model);
    const Tensor extra =
        sees_mask ? ops::to_device(known->extra_channels, part.model.device) : Tensor();
    StepJournal journal(context_, name_of_part(settings_, p));
    NetworkCalls network(part.model, settings_, &journal);
    const Previewer previewer(part.model, context_);
    for (int i = part.first; i < part.last; ++i) {
      Stopwatch step;
      Tensor input = part.sampler->scale_model_input(latents, i);
      if (sees_mask) input = ops::concat_last(input, extra);
      const float timestep = part.sampler->timesteps()[static_cast<size_t>(i)];
      const Tensor prediction = network.predict(input, timestep, part.at(i));
      latents = part.sampler->step(prediction, i, latents, noise);
      if (known && !sees_mask) latents = with_known(latents, *known, level_after(p, i));
      timings_.step_s.push_back(step.lap());
      ++done;
      if (!network.replayed())
        previewer.show({.input = input,
                        .prediction = prediction,
                        .timestep = timestep,
                        .done = done,
                        .calls = calls});
      context_.report(Stage::kDenoise, done, calls);
    }
    settings_.unguided_calls += network.unguided();
    for (size_t i = 0; i < reused_.size(); ++i) reused_[i] += network.reused(i);
  }
  timings_.denoise_s = stage_.lap();
  return latents;
}

std::vector<TextToImageResult> DiffusionRun::decode(const Tensor& latents,
                                                    const CodecBands& bands) {
  const Backend& backend = backend_for(model_.device);
  const int images = settings_.batch_size;
  backend.trim();  // the decoder's sizes have nothing in common with the network's
  context_.report(Stage::kDecode, 0, images);
  std::vector<TextToImageResult> results(static_cast<size_t>(images));
  for (int i = 0; i < images; ++i) {  // one by one: the decoder needs the most memory of all
    TextToImageResult& result = results[static_cast<size_t>(i)];
    result.image = to_image(decode_latents(parts_.back().model, latents.slice(i, i + 1), bands));
    result.settings = settings_of_picture(settings_, i);
    const size_t own = picture_adapters_.size() > 1 ? static_cast<size_t>(i) : 0;
    result.settings.adapters = picture_adapters_[own];
    result.settings.reused_calls = reused_[static_cast<size_t>(i)];
    context_.report(Stage::kDecode, i + 1, images);
  }
  backend.trim();
  timings_.decode_s = stage_.lap();
  timings_.total_s = total_.lap();
  for (TextToImageResult& result : results) result.timings = timings_;
  return results;
}

}  // namespace tintype
