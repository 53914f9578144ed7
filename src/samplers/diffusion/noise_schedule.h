/// The training noise schedule of a diffusion checkpoint: scheduler_config.json and the table of
/// noise levels it stands for. What a run visits of that table is in sigmas.h.
/// Immutable values; thread-safe.
#pragma once

#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tintype {

enum class BetaSchedule { kLinear, kScaledLinear, kSquaredCosCapV2 };
enum class PredictionType { kEpsilon, kVPrediction, kSample };
enum class TimestepSpacing { kLeading, kTrailing, kLinspace };

std::string_view to_string(BetaSchedule schedule);
std::string_view to_string(PredictionType type);
std::string_view to_string(TimestepSpacing spacing);
/// throws kInvalidArgument: no such spacing
TimestepSpacing parse_timestep_spacing(std::string_view name);

/// scheduler/scheduler_config.json. A key that a file lacks takes the default of the scheduler
/// class that will run, as diffusers' from_config does: where classes differ, the member is
/// optional and each sampler brings its own default. Names are the file's keys.
struct NoiseScheduleConfig {
  std::string class_name;  ///< "" when the file has no _class_name
  int num_train_timesteps = 1000;

  std::optional<double> beta_start;  ///< in [0,1], like every beta
  std::optional<double> beta_end;
  std::optional<BetaSchedule> beta_schedule;
  std::vector<double> trained_betas;  ///< when not empty, used instead of the three above
  bool rescale_betas_zero_snr = false;

  PredictionType prediction_type = PredictionType::kEpsilon;
  std::optional<TimestepSpacing> timestep_spacing;
  std::optional<int> steps_offset;

  // Bounding the predicted picture (DDIM, DPM-Solver).
  std::optional<bool> clip_sample;
  double clip_sample_range = 1.0;
  bool thresholding = false;
  double dynamic_thresholding_ratio = 0.995;
  double sample_max_value = 1.0;

  // DDIM and PNDM.
  std::optional<bool> set_alpha_to_one;
  bool skip_prk_steps = false;

  // Sigma tables. Texts are checked by the sampler that reads them: others ignore them.
  bool use_karras_sigmas = false;
  bool use_exponential_sigmas = false;
  bool use_beta_sigmas = false;
  std::optional<double> sigma_min, sigma_max;    ///< ends of the Karras spacing
  std::optional<std::string> final_sigmas_type;  ///< "zero" | "sigma_min"
  std::string interpolation_type = "linear";     ///< "linear" | "log_linear"
  std::string timestep_type = "discrete";        ///< "discrete" | "continuous"

  // DPM-Solver.
  std::optional<int> solver_order;  ///< 1..3
  std::optional<std::string> algorithm_type;
  std::optional<std::string> solver_type;
  std::optional<bool> lower_order_final;
  bool euler_at_final = false;
  bool use_lu_lambdas = false;
  bool use_flow_sigmas = false;
  double lambda_min_clipped = -std::numeric_limits<double>::infinity();
  std::optional<std::string> variance_type;

  // UniPC.
  bool predict_x0 = true;
  std::vector<int64_t> disable_corrector;  ///< steps whose answer does not correct them

  // Consistency models (LCM, TCD).
  int original_inference_steps = 50;  ///< 1..100000
  double timestep_scaling = 10.0;

  /// throws kCorruptFile, kUnsupported (an unknown beta schedule, prediction or spacing)
  static NoiseScheduleConfig from_json(const JsonObject& json);
  /// The file as from_json takes it. Also accepts the one departure from JSON that diffusers writes
  /// into these files: the number -Infinity as lambda_min_clipped. throws kNotFound, kIo,
  /// kCorruptFile
  static Json read_file(const std::filesystem::path& path);
  /// throws as read_file and from_json
  static NoiseScheduleConfig from_file(const std::filesystem::path& path);
};

/// How a class turns betas into its table.
struct NoiseTableOptions {
  bool honour_rescale = true;  ///< false: the class has no rescale_betas_zero_snr (PNDM)
  /// Keep the last level of a rescaled table at 2^-24, so that its sigma stays finite.
  bool keep_last_positive = false;
  /// What the class takes for keys that the file lacks.
  double beta_start = 0.0001, beta_end = 0.02;
  BetaSchedule beta_schedule = BetaSchedule::kLinear;
};

/// Fraction of signal variance left after each training timestep, falling: [num_train_timesteps].
/// Equal to torch's float32 table bit for bit (linspace with one FMA per entry, cumprod in double
/// rounded per entry), but for squaredcos_cap_v2 and rescaled tables, whose cosines and roots come
/// from a maths library (torch's root errs by an ulp, other ways on other machines): there within
/// 8 ulp, and where both meet, far less near the rescaled end, which is a difference of equals.
/// throws kUnsupported, kCorruptFile
std::vector<float> alphas_cumprod(const NoiseScheduleConfig& config,
                                  const NoiseTableOptions& options);

/// torch.linspace in float32 on the CPU, bit for bit. count >= 1
std::vector<float> torch_linspace(float start, float end, int count);

}  // namespace tintype
