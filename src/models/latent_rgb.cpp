#include "models/latent_rgb.h"

#include <cmath>

#include "base/torch_rng.h"
#include "ops/ops.h"

namespace tintype {
namespace {

constexpr std::array kColours = {"red", "green", "blue"};
constexpr double kMaxFactor = 1000;

struct KnownSpace {
  float scaling_factor;
  LatentRgb map;
};

/// source  ComfyUI, comfy/latent_formats.py, latent_rgb_factors and latent_rgb_factors_bias
std::vector<KnownSpace> known_spaces() {
  return {{0.18215f,
           {.factors = {{0.3512f, 0.2297f, 0.3227f},
                        {0.3250f, 0.4974f, 0.2350f},
                        {-0.2829f, 0.1762f, 0.2721f},
                        {-0.2120f, -0.2616f, -0.7177f}},
            .bias = {}}},
          {0.13025f,
           {.factors = {{0.3651f, 0.4232f, 0.4341f},
                        {-0.2533f, -0.0042f, 0.1068f},
                        {0.1076f, 0.1111f, -0.0362f},
                        {-0.3165f, -0.2492f, -0.2188f}},
            .bias = {0.1084f, -0.0175f, -0.0011f}}}};
}

/// Solves a x = b for three right-hand sides in place by Gauss-Jordan elimination with pivots.
/// a [n][n] symmetric and positive definite, b [n]
void solve(std::vector<std::vector<double>>& a, std::vector<std::array<double, 3>>& b) {
  const size_t n = a.size();
  for (size_t column = 0; column < n; ++column) {
    size_t pivot = column;
    for (size_t row = column; row < n; ++row)
      if (std::fabs(a[row][column]) > std::fabs(a[pivot][column])) pivot = row;
    std::swap(a[pivot], a[column]);
    std::swap(b[pivot], b[column]);
    for (size_t row = 0; row < n; ++row) {
      if (row == column) continue;
      const double ratio = a[row][column] / a[column][column];
      for (size_t k = column; k < n; ++k) a[row][k] -= ratio * a[column][k];
      for (size_t k = 0; k < 3; ++k) b[row][k] -= ratio * b[column][k];
    }
  }
  for (size_t row = 0; row < n; ++row)
    for (double& value : b[row]) value /= a[row][row];
}

/// Standard normal latents [1,side,side,C] that are constant over patches.
Tensor random_patches(int64_t side, int64_t patch, int64_t channels) {
  const int64_t patches = side / patch;
  TorchRng rng(0);
  std::vector<float> values(static_cast<size_t>(patches * patches * channels));
  rng.randn(values);
  Tensor latents = ops::empty(Shape{1, side, side, channels}, DType::kF32, Device::kCpu);
  float* out = latents.mutable_data<float>();
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x)
      for (int64_t c = 0; c < channels; ++c)
        *out++ = values[static_cast<size_t>((y / patch * patches + x / patch) * channels + c)];
  return latents;
}

}  // namespace

LatentRgb LatentRgb::from_json(const JsonObject& json, int64_t channels) {
  LatentRgb map;
  map.factors.resize(static_cast<size_t>(channels));
  const auto numbers = [&json](const char* key, size_t count) {
    const std::vector<double> values = json.numbers(key, -kMaxFactor, kMaxFactor, count);
    if (values.size() != count)
      fail(ErrorKind::kCorruptFile, json.origin(), key, " must be ", count,
           " numbers, as the autoencoder has latent channels, got ", values.size());
    return values;
  };
  for (size_t k = 0; k < kColours.size(); ++k) {
    const std::vector<double> column = numbers(kColours[k], map.factors.size());
    for (size_t c = 0; c < column.size(); ++c) map.factors[c][k] = static_cast<float>(column[c]);
  }
  const std::vector<double> offsets = json.numbers("bias", -kMaxFactor, kMaxFactor, 3);
  if (offsets.size() != 3)
    fail(ErrorKind::kCorruptFile, json.origin(), "bias must be 3 numbers, got ", offsets.size());
  for (size_t k = 0; k < 3; ++k) map.bias[k] = static_cast<float>(offsets[k]);
  return map;
}

Json LatentRgb::to_json() const {
  Json json;
  for (size_t k = 0; k < kColours.size(); ++k)
    for (const auto& factor : factors) json[kColours[k]].push_back(factor[k]);
  json["bias"] = bias;
  return json;
}

std::optional<LatentRgb> known_latent_rgb(const LatentCodec::Traits& traits) {
  for (const KnownSpace& space : known_spaces())
    if (traits.latent_channels == static_cast<int64_t>(space.map.factors.size()) &&
        traits.scaling_factor == space.scaling_factor)
      return space.map;
  return std::nullopt;
}

LatentRgb fit_latent_rgb(const LatentCodec& codec, Device device) {
  // Sixteen patches of 4 x 4 a channel: at 8 pixels a latent, one decode of 128 x 128.
  constexpr int64_t kSide = 16, kPatch = 4;
  const LatentCodec::Traits& traits = codec.traits();
  const int64_t channels = traits.latent_channels, factor = traits.factor;
  const Tensor latents = random_patches(kSide, kPatch, channels);
  const Tensor unscaled = ops::weighted_sum({{1.0f / traits.scaling_factor, &latents}});
  const Tensor picture = ops::to_host(codec.decode(ops::to_device(unscaled, device)));

  // Normal equations over all positions, the last unknown being the bias. The small weight on the
  // diagonal keeps them solvable when there are more channels than the patches tell apart.
  const size_t n = static_cast<size_t>(channels) + 1;
  std::vector<std::vector<double>> a(n, std::vector<double>(n, 0));
  std::vector<std::array<double, 3>> b(n);
  for (size_t i = 0; i < n; ++i) a[i][i] = 1e-2;
  const std::span<const float> z = latents.span<float>(), rgb = picture.span<float>();
  std::vector<double> row(n, 1.0);
  for (int64_t y = 0; y < kSide; ++y)
    for (int64_t x = 0; x < kSide; ++x) {
      for (size_t c = 0; c + 1 < n; ++c)
        row[c] = z[static_cast<size_t>(y * kSide + x) * (n - 1) + c];
      std::array<double, 3> mean{};
      for (int64_t v = 0; v < factor; ++v)
        for (int64_t u = 0; u < factor; ++u)
          for (size_t k = 0; k < 3; ++k)
            mean[k] +=
                rgb[static_cast<size_t>(((y * factor + v) * kSide + x) * factor + u) * 3 + k];
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < n; ++j) a[i][j] += row[i] * row[j];
        for (size_t k = 0; k < 3; ++k)
          b[i][k] += row[i] * mean[k] / static_cast<double>(factor * factor);
      }
    }
  solve(a, b);
  LatentRgb map;
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < 3; ++k) {
      if (!std::isfinite(b[i][k]))
        fail(ErrorKind::kCorruptFile, "preview", "the autoencoder must answer with numbers, got ",
             b[i][k], "; its weights may hold NaN or infinity");
      if (i + 1 < n && k == 0) map.factors.emplace_back();
      (i + 1 < n ? map.factors[i] : map.bias)[k] = static_cast<float>(b[i][k]);
    }
  return map;
}

}  // namespace tintype
