#include "pipelines/hires.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "image/resize.h"
#include "ops/ops.h"
#include "pipelines/diffusion_run.h"

namespace tintype {
namespace {

constexpr const char* kLatent = "latent";
constexpr const char* kLatentBicubic = "latent-bicubic";
constexpr const char* kLanczos = "lanczos";
constexpr const char* kNetwork = "network";

/// The sources of one position along an axis, and their weights.
struct Taps {
  std::array<int64_t, 4> at{};
  std::array<float, 4> weight{};
};

/// Keys' kernel at distance `x`, 0..2.
double cubic(double x) {
  constexpr double kA = -0.75;
  return x <= 1 ? ((kA + 2) * x - (kA + 3)) * x * x + 1
                : ((kA * x - 5 * kA) * x + 8 * kA) * x - 4 * kA;
}

std::vector<Taps> taps_of(int64_t from, int64_t to, LatentFilter filter) {
  std::vector<Taps> axis;
  if (filter == LatentFilter::kBilinear) {
    for (const AxisPoint& point : bilinear_axis(from, to))
      axis.push_back({{point.low, point.high}, {1 - point.part, point.part}});
    return axis;
  }
  const auto clamped = [from](int64_t i) { return std::clamp<int64_t>(i, 0, from - 1); };
  for (int64_t i = 0; i < to; ++i) {
    const double at =
        (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
    const auto low = static_cast<int64_t>(std::floor(at));
    const double part = at - static_cast<double>(low);
    Taps& taps = axis.emplace_back();
    for (int64_t k = 0; k < 4; ++k) {
      taps.at[static_cast<size_t>(k)] = clamped(low + k - 1);
      taps.weight[static_cast<size_t>(k)] =
          static_cast<float>(cubic(std::fabs(part + 1 - static_cast<double>(k))));
    }
  }
  return axis;
}

bool enlarges_latents(const std::string& method) {
  return method == kLatent || method == kLatentBicubic;
}

/// The picture in exactly the second pass's size.
std::shared_ptr<const Image> enlarged(Image picture, const TextToImageSettings& to,
                                      const PictureUpscaler& network) {
  if (to.hires_method == kNetwork) picture = network(picture);
  return fit_image(std::make_shared<const Image>(std::move(picture)), to.width_px, to.height_px,
                   ResizeMode::kFit);
}

}  // namespace

std::vector<std::string> hires_methods() { return {kLatent, kLatentBicubic, kLanczos, kNetwork}; }

Tensor resized_latents(const Tensor& latents, int64_t height, int64_t width, LatentFilter filter) {
  const std::vector<Taps> rows = taps_of(latents.dim(1), height, filter);
  const std::vector<Taps> columns = taps_of(latents.dim(2), width, filter);
  const int64_t channels = latents.dim(3), line = latents.dim(2) * channels;
  Tensor out = ops::empty(Shape{1, height, width, channels}, DType::kF32, Device::kCpu);
  const float* x = latents.data<float>();
  float* to = out.mutable_data<float>();
  for (const Taps& row : rows)
    for (const Taps& column : columns)
      for (int64_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (size_t v = 0; v < row.at.size(); ++v) {
          float across = 0;
          for (size_t u = 0; u < column.at.size(); ++u)
            across += column.weight[u] * x[row.at[v] * line + column.at[u] * channels + c];
          sum += row.weight[v] * across;
        }
        *to++ = sum;
      }
  return out;
}

HiresSettings resolve_settings(const DiffusionModel& model, const HiresRequest& request,
                               const DiffusionModel* refiner) {
  TT_REQUIRE(request.scale >= 1 && request.scale <= 8, "hires", "the scale must be in 1..8, got ",
             request.scale);
  TT_REQUIRE(request.strength >= 0 && request.strength <= 1, "hires_strength",
             "must be in 0..1, got ", request.strength);
  const std::vector<std::string> known = hires_methods();
  TT_REQUIRE(std::find(known.begin(), known.end(), request.method) != known.end(), "hires_upscaler",
             "must be latent, latent-bicubic, lanczos or network, got ",
             printable(request.method, 80));
  TT_REQUIRE((request.method == kNetwork) == (request.upscaler != nullptr), "hires_upscaler",
             "needs an upscaler for the method network and takes one for no other");
  HiresSettings settings{.first = resolve_settings(model, request.drawing), .second = {}};
  TextToImageRequest second = request.drawing;
  second.seed = settings.first.seed;
  const int64_t factor = model.codec->traits().factor;
  const auto larger = [&](int side_px) {
    return static_cast<int>(static_cast<int64_t>(side_px * request.scale) / factor * factor);
  };
  second.width_px = larger(settings.first.width_px);
  second.height_px = larger(settings.first.height_px);
  settings.second = resolve_settings(model, second, refiner);
  settings.second.strength = request.strength;
  settings.second.hires_scale = request.scale;
  settings.second.hires_method = request.method;
  if (request.upscaler) settings.second.hires_upscaler = request.upscaler->info().name;
  TT_REQUIRE(skipped_steps(settings.second) < settings.second.steps, "hires_strength",
             request.strength, " of ", settings.second.steps,
             " steps must be at least one step, got none; ask for more of either");
  return settings;
}

std::vector<TextToImageResult> hires_images(
    const DiffusionModel& model, const HiresSettings& settings, const PictureUpscaler& network,
    const RunContext& context, const DiffusionModel* refiner, const PictureBands& bands,
    const PictureAdapters& adapters) {
  const TextToImageSettings& to = settings.second;
  const bool as_latents = enlarges_latents(to.hires_method);
  Stopwatch first_pass;
  DiffusionRun first(model, settings.first, context, nullptr, adapters);
  const Tensor latents = first.denoise(first.pure(first.start_noise()));
  std::vector<TextToImageResult> pictures;
  if (!as_latents) pictures = first.decode(latents, bands.decode);
  const double first_s = first_pass.lap();

  std::vector<TextToImageResult> results;
  for (int i = 0; i < to.batch_size; ++i) {
    DiffusionRun second(model, settings_of_picture(to, i), context, refiner, adapters.of(i));
    const Shape shape = second.latent_shape();
    Tensor start;
    if (as_latents) {
      start = resized_latents(
          ops::to_host(latents.slice(i, i + 1)), shape[1], shape[2],
          to.hires_method == kLatent ? LatentFilter::kBilinear : LatentFilter::kBicubic);
    } else {
      const std::shared_ptr<const Image> picture =
          enlarged(std::move(pictures[static_cast<size_t>(i)].image), to, network);
      start = second.encode(to_picture(*picture, model.device), bands.encode);
    }
    start = second.noised(start, second.start_noise());
    results.push_back(std::move(second.decode(second.denoise(start), bands.decode).front()));
    results.back().timings.total_s += first_s;
  }
  return results;
}

}  // namespace tintype
