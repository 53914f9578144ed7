#include "pipelines/text_to_image.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "backend/registry.h"
#include "base/text.h"
#include "base/torch_rng.h"
#include "ops/ops.h"

namespace tintype {
namespace {

constexpr int kDefaultSteps = 20;
constexpr float kDefaultGuidance = 7.5f;  // diffusers' and the papers'
constexpr int kMaxSidePx = 16384;

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

std::unique_ptr<Sampler> sampler_of(const DiffusionModel& model, const TextToImageSettings& s) {
  return make_sampler(stable_diffusion_config(model.schedule, s.sampler),
                      {.name = s.sampler, .scheduler = s.scheduler, .steps = s.steps});
}

/// Noise as PyTorch draws it for [1,C,H,W], laid out [1,H,W,C].
Tensor draw_noise(TorchRng& rng, const Shape& shape) {
  const int64_t positions = shape[1] * shape[2], channels = shape[3];
  std::vector<float> planes(static_cast<size_t>(shape.numel()));
  rng.randn(planes);
  Tensor noise = empty_host(shape);
  float* out = noise.mutable_data<float>();
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t p = 0; p < positions; ++p)
      out[p * channels + c] = planes[static_cast<size_t>(c * positions + p)];
  return noise;
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
    image.rgb.push_back(static_cast<uint8_t>(std::nearbyint(unit * 255.0f)));  // ties to even, as numpy
  }
  return image;
}

}  // namespace

TextToImageSettings resolve_settings(const DiffusionModel& model,
                                     const TextToImageRequest& request) {
  const int64_t factor = model.codec->traits().factor;
  TextToImageSettings s;
  s.prompt = request.prompt;
  s.negative_prompt = request.negative_prompt;
  s.width_px = checked_side("width", request.width_px, model.default_width_px(), factor);
  s.height_px = checked_side("height", request.height_px, model.default_height_px(), factor);
  s.steps = request.steps.value_or(std::min(kDefaultSteps, model.schedule.num_train_timesteps));
  TT_REQUIRE(s.steps >= 1 && s.steps <= model.schedule.num_train_timesteps, "steps",
             "must be in 1..", model.schedule.num_train_timesteps,
             " (the checkpoint's training timesteps), got ", s.steps);
  s.guidance_scale = request.guidance_scale.value_or(kDefaultGuidance);
  TT_REQUIRE(std::isfinite(s.guidance_scale) && std::fabs(s.guidance_scale) <= 1000.0f, "guidance",
             "must be a number in -1000..1000, got ", s.guidance_scale);
  s.sampler = request.sampler.empty()
                  ? sampler_for_class(model.schedule.class_name)
                  : checked_name("sampler", request.sampler, diffusion_sampler_names());
  s.scheduler = request.scheduler;
  if (!s.scheduler.empty())
    checked_name("scheduler", s.scheduler, diffusion_scheduler_names());
  // Steps and scheduler that this sampler or this checkpoint lacks are refused here, before any work.
  sampler_of(model, s);
  s.rng = checked_name("rng", request.rng, {"torch"});
  s.seed = request.seed ? *request.seed : std::random_device{}();
  s.model_name = model.name;
  return s;
}

Tensor encode_prompt(const DiffusionModel& model, const TextToImageSettings& settings) {
  std::vector<int32_t> ids;
  int64_t rows = 0;
  const auto add = [&](const std::string& text) {
    const ClipTokens tokens = model.tokenizer.encode_window(text);
    ids.insert(ids.end(), tokens.ids.begin(), tokens.ids.end());
    ++rows;
  };
  if (settings.guidance_scale > 1.0f) add(settings.negative_prompt);
  add(settings.prompt);
  const Shape shape{rows, model.tokenizer.window()};
  return model.text_encoder->encode(
      ops::to_device(host_tensor(shape, std::span<const int32_t>(ids)), model.device));
}

Tensor predict(const DiffusionModel& model, const Tensor& latents, float timestep,
               const Tensor& context, float guidance_scale) {
  if (context.dim(0) == 1) return model.network->forward(latents, timestep, context);
  // Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) as one batch of two.
  const Tensor both =
      model.network->forward(ops::concat_first(latents, latents), timestep, context);
  const Tensor unconditional = both.slice(0, 1), conditional = both.slice(1, 2);
  const Tensor direction = ops::weighted_sum({{1.0f, &conditional}, {-1.0f, &unconditional}});
  return ops::weighted_sum({{1.0f, &unconditional}, {guidance_scale, &direction}});
}

Tensor decode_latents(const DiffusionModel& model, const Tensor& latents) {
  const Tensor unscaled =
      ops::weighted_sum({{1.0f / model.codec->traits().scaling_factor, &latents}});
  return model.codec->decode(unscaled);
}

TextToImageResult text_to_image(const DiffusionModel& model, TextToImageSettings settings,
                                const RunContext& run) {
  TextToImageResult result;
  StageTimings& timings = result.timings;
  Stopwatch total, stage;
  const Backend& backend = backend_for(model.device);

  run.report(Stage::kEncodePrompt, 0, 1);
  settings.prompt_truncated = model.tokenizer.encode_window(settings.prompt).truncated;
  const Tensor context = encode_prompt(model, settings);
  run.report(Stage::kEncodePrompt, 1, 1);
  timings.encode_prompt_s = stage.lap();

  const int64_t factor = model.codec->traits().factor;
  const Shape shape{1, settings.height_px / factor, settings.width_px / factor,
                    model.codec->traits().latent_channels};
  const auto sampler = sampler_of(model, settings);
  TorchRng rng(settings.seed);
  const NoiseSource noise = [&](const Shape& wanted) { return draw_noise(rng, wanted); };
  const Tensor start = ops::to_device(noise(shape), model.device);
  Tensor latents = ops::weighted_sum({{sampler->init_noise_sigma(), &start}});

  const int calls = static_cast<int>(sampler->timesteps().size());
  run.report(Stage::kDenoise, 0, calls);
  for (int i = 0; i < calls; ++i) {
    Stopwatch step;
    const float timestep = sampler->timesteps()[static_cast<size_t>(i)];
    const Tensor prediction = predict(model, sampler->scale_model_input(latents, i), timestep,
                                      context, settings.guidance_scale);
    latents = sampler->step(prediction, i, latents, noise);
    timings.step_s.push_back(step.lap());
    run.report(Stage::kDenoise, i + 1, calls);
  }
  timings.denoise_s = stage.lap();

  backend.trim();  // the decoder's sizes have nothing in common with the network's
  run.report(Stage::kDecode, 0, 1);
  result.image = to_image(decode_latents(model, latents));
  backend.trim();
  run.report(Stage::kDecode, 1, 1);
  timings.decode_s = stage.lap();
  timings.total_s = total.lap();
  result.settings = std::move(settings);
  return result;
}

}  // namespace tintype
