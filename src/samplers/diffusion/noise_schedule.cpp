#include "samplers/diffusion/noise_schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/text.h"

namespace tintype {
namespace {

constexpr double kHuge = 1e9;  // Far above any honest sigma or range, far below overflow.

template <typename Enum, size_t N>
using NameTable = std::array<std::pair<std::string_view, Enum>, N>;

constexpr NameTable<BetaSchedule, 3> kBetaSchedules{{
    {"linear", BetaSchedule::kLinear},
    {"scaled_linear", BetaSchedule::kScaledLinear},
    {"squaredcos_cap_v2", BetaSchedule::kSquaredCosCapV2},
}};
constexpr NameTable<PredictionType, 3> kPredictionTypes{{
    {"epsilon", PredictionType::kEpsilon},
    {"v_prediction", PredictionType::kVPrediction},
    {"sample", PredictionType::kSample},
}};
constexpr NameTable<TimestepSpacing, 3> kSpacings{{
    {"leading", TimestepSpacing::kLeading},
    {"trailing", TimestepSpacing::kTrailing},
    {"linspace", TimestepSpacing::kLinspace},
}};

template <typename Enum, size_t N>
std::string_view name_of(const NameTable<Enum, N>& table, Enum value) {
  for (const auto& [name, candidate] : table)
    if (candidate == value) return name;
  fail(ErrorKind::kInternal, "noise_schedule", "enumerator without a name");
}

template <typename Enum, size_t N>
std::optional<Enum> read_enum(const JsonObject& json, std::string_view key,
                              const NameTable<Enum, N>& table) {
  if (!json.has(key)) return std::nullopt;
  const std::string text = json.text(key);
  std::string names;
  for (const auto& [name, value] : table) {
    if (text == name) return value;
    names += names.empty() ? "" : ", ";
    names += name;
  }
  fail(ErrorKind::kUnsupported, json.origin(), key, " must be one of ", names, ", got \"",
       printable(text, 80), "\"");
}

std::optional<double> read_number(const JsonObject& json, std::string_view key, double min,
                                  double max) {
  if (!json.has(key)) return std::nullopt;
  return json.number(key, min, max);
}
std::optional<bool> read_boolean(const JsonObject& json, std::string_view key) {
  if (!json.has(key)) return std::nullopt;
  return json.boolean(key, false);
}
std::optional<std::string> read_text(const JsonObject& json, std::string_view key) {
  if (!json.has(key)) return std::nullopt;
  return json.text(key);
}
std::optional<int> read_integer(const JsonObject& json, std::string_view key, int min, int max) {
  if (!json.has(key)) return std::nullopt;
  return static_cast<int>(json.integer(key, min, max));
}

void read_table_keys(const JsonObject& json, NoiseScheduleConfig& config) {
  config.num_train_timesteps = read_integer(json, "num_train_timesteps", 1, 100000).value_or(1000);
  config.beta_start = read_number(json, "beta_start", 0, 1);
  config.beta_end = read_number(json, "beta_end", 0, 1);
  config.beta_schedule = read_enum(json, "beta_schedule", kBetaSchedules);
  if (json.has("trained_betas")) {
    config.trained_betas = json.numbers("trained_betas", 0, 1);
    if (config.trained_betas.empty())
      fail(ErrorKind::kCorruptFile, json.origin(), "trained_betas must not be empty");
  }
  config.rescale_betas_zero_snr = json.boolean("rescale_betas_zero_snr", false);
}

void read_sigma_keys(const JsonObject& json, NoiseScheduleConfig& config) {
  config.use_karras_sigmas = json.boolean("use_karras_sigmas", false);
  config.use_exponential_sigmas = json.boolean("use_exponential_sigmas", false);
  config.use_beta_sigmas = json.boolean("use_beta_sigmas", false);
  config.sigma_min = read_number(json, "sigma_min", 0, kHuge);
  config.sigma_max = read_number(json, "sigma_max", 0, kHuge);
  config.final_sigmas_type = read_text(json, "final_sigmas_type");
  config.interpolation_type = json.text("interpolation_type", "linear");
  config.timestep_type = json.text("timestep_type", "discrete");
}

void read_solver_keys(const JsonObject& json, NoiseScheduleConfig& config) {
  config.solver_order = read_integer(json, "solver_order", 1, 3);
  config.algorithm_type = read_text(json, "algorithm_type");
  config.solver_type = read_text(json, "solver_type");
  config.lower_order_final = read_boolean(json, "lower_order_final");
  config.euler_at_final = json.boolean("euler_at_final", false);
  config.use_lu_lambdas = json.boolean("use_lu_lambdas", false);
  config.use_flow_sigmas = json.boolean("use_flow_sigmas", false);
  config.lambda_min_clipped =
      json.number("lambda_min_clipped", -kHuge, kHuge, config.lambda_min_clipped);
  config.variance_type = read_text(json, "variance_type");
  config.predict_x0 = json.boolean("predict_x0", true);
  if (json.has("disable_corrector"))
    config.disable_corrector = json.integers("disable_corrector", 0, 100000, 100000);
  config.original_inference_steps =
      read_integer(json, "original_inference_steps", 1, 100000).value_or(50);
  config.timestep_scaling = json.number("timestep_scaling", 0, kHuge, 10.0);
}

/// Replaces the bare token -Infinity after the key lambda_min_clipped by null, which stands for the
/// same: no clipping. Anywhere else the token stays and the JSON parser refuses it.
void accept_infinite_lambda(std::string& text) {
  constexpr std::string_view kKey = "\"lambda_min_clipped\"", kToken = "-Infinity";
  const size_t key = text.find(kKey);
  if (key == std::string::npos || (key > 0 && text[key - 1] == '\\')) return;
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t colon = text.find_first_not_of(kSpace, key + kKey.size());
  if (colon == std::string::npos || text[colon] != ':') return;
  const size_t value = text.find_first_not_of(kSpace, colon + 1);
  if (value != std::string::npos && text.compare(value, kToken.size(), kToken) == 0)
    text.replace(value, kToken.size(), "null");
}

/// The cosine schedule: the fraction of signal left at time t in [0,1], in double as the reference.
double cosine_alpha_bar(double t) {
  const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
  return c * c;
}

std::vector<float> betas_of(const NoiseScheduleConfig& config, const NoiseTableOptions& options) {
  if (!config.trained_betas.empty())
    return std::vector<float>(config.trained_betas.begin(), config.trained_betas.end());
  const int count = config.num_train_timesteps;
  const double start = config.beta_start.value_or(options.beta_start);
  const double end = config.beta_end.value_or(options.beta_end);
  switch (config.beta_schedule.value_or(options.beta_schedule)) {
    case BetaSchedule::kLinear:
      return torch_linspace(static_cast<float>(start), static_cast<float>(end), count);
    case BetaSchedule::kScaledLinear: {
      std::vector<float> betas = torch_linspace(static_cast<float>(std::sqrt(start)),
                                                static_cast<float>(std::sqrt(end)), count);
      for (float& beta : betas) beta *= beta;
      return betas;
    }
    case BetaSchedule::kSquaredCosCapV2: {
      std::vector<float> betas(static_cast<size_t>(count));
      for (int i = 0; i < count; ++i) {
        const double here = cosine_alpha_bar(static_cast<double>(i) / count);
        const double next = cosine_alpha_bar(static_cast<double>(i + 1) / count);
        betas[static_cast<size_t>(i)] = static_cast<float>(std::min(1 - next / here, 0.999));
      }
      return betas;
    }
  }
  fail(ErrorKind::kInternal, "noise_schedule", "beta schedule without a rule");
}

std::vector<float> cumulative_product_of_complement(const std::vector<float>& betas) {
  std::vector<float> result(betas.size());
  double product = 1.0;  // torch.cumprod accumulates float32 in double on the CPU.
  for (size_t i = 0; i < betas.size(); ++i) {
    product *= static_cast<double>(1.0f - betas[i]);
    result[i] = static_cast<float>(product);
  }
  return result;
}

/// Shifts and scales sqrt(alphas_cumprod) so that the last entry is 0 and the first stays.
/// source  Lin et al. 2024, arXiv:2305.08891, algorithm 1
std::vector<float> rescaled_to_zero_snr(const std::vector<float>& betas) {
  std::vector<float> root = cumulative_product_of_complement(betas);
  for (float& value : root) value = std::sqrt(value);
  const float first = root.front(), last = root.back();
  const float scale = first / (first - last);
  std::vector<float> result(betas.size());
  float previous = 1.0f;
  for (size_t i = 0; i < betas.size(); ++i) {
    const float shifted = (root[i] - last) * scale;
    const float alpha_bar = shifted * shifted;
    result[i] = 1.0f - (i == 0 ? alpha_bar : alpha_bar / previous);
    previous = alpha_bar;
  }
  return result;
}

}  // namespace

std::string_view to_string(BetaSchedule schedule) { return name_of(kBetaSchedules, schedule); }
std::string_view to_string(PredictionType type) { return name_of(kPredictionTypes, type); }
std::string_view to_string(TimestepSpacing spacing) { return name_of(kSpacings, spacing); }

TimestepSpacing parse_timestep_spacing(std::string_view wanted) {
  for (const auto& [name, spacing] : kSpacings)
    if (name == wanted) return spacing;
  fail(ErrorKind::kInvalidArgument, "timestep_spacing",
       "must be leading, trailing or linspace, got \"", printable(wanted, 80), "\"");
}

NoiseScheduleConfig NoiseScheduleConfig::from_json(const JsonObject& json) {
  NoiseScheduleConfig config;
  config.class_name = json.text("_class_name", "");
  read_table_keys(json, config);
  // "original_sample" is the older name that the Euler classes still take for "sample".
  if (json.has("prediction_type") && json.text("prediction_type") == "original_sample")
    config.prediction_type = PredictionType::kSample;
  else if (const auto type = read_enum(json, "prediction_type", kPredictionTypes))
    config.prediction_type = *type;
  config.timestep_spacing = read_enum(json, "timestep_spacing", kSpacings);
  config.steps_offset = read_integer(json, "steps_offset", 0, 100000);

  config.clip_sample = read_boolean(json, "clip_sample");
  config.clip_sample_range = json.number("clip_sample_range", 0, kHuge, 1.0);
  config.thresholding = json.boolean("thresholding", false);
  config.dynamic_thresholding_ratio = json.number("dynamic_thresholding_ratio", 0, 1, 0.995);
  config.sample_max_value = json.number("sample_max_value", 0, kHuge, 1.0);

  config.set_alpha_to_one = read_boolean(json, "set_alpha_to_one");
  config.skip_prk_steps = json.boolean("skip_prk_steps", false);
  read_sigma_keys(json, config);
  read_solver_keys(json, config);
  return config;
}

Json NoiseScheduleConfig::read_file(const std::filesystem::path& path) {
  std::string text = read_text_file(path);
  accept_infinite_lambda(text);
  return parse_json(text, path.string());
}

NoiseScheduleConfig NoiseScheduleConfig::from_file(const std::filesystem::path& path) {
  const Json json = read_file(path);
  return from_json(JsonObject(json, path.string()));
}

std::vector<float> alphas_cumprod(const NoiseScheduleConfig& config,
                                  const NoiseTableOptions& options) {
  std::vector<float> betas = betas_of(config, options);
  const bool rescale = options.honour_rescale && config.rescale_betas_zero_snr;
  if (rescale) betas = rescaled_to_zero_snr(betas);
  std::vector<float> table = cumulative_product_of_complement(betas);
  if (rescale && options.keep_last_positive) table.back() = 0x1p-24f;
  return table;
}

std::vector<float> torch_linspace(float start, float end, int count) {
  std::vector<float> result(static_cast<size_t>(count), start);
  if (count == 1) return result;
  const float step = (end - start) / static_cast<float>(count - 1);
  // Each half counts from its own end, and torch's compiler made an FMA of each entry.
  for (int i = 0; i < count; ++i)
    result[static_cast<size_t>(i)] = i < count / 2
                                         ? std::fma(step, static_cast<float>(i), start)
                                         : std::fma(-step, static_cast<float>(count - 1 - i), end);
  return result;
}

}  // namespace tintype
