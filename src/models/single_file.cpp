#include "models/single_file.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "models/autoencoder_kl/keys.h"
#include "models/unet_2d_condition/keys.h"
#include "tensor/float16.h"
#include "weights/find_by_name.h"
#include "weights/named_shapes.h"

namespace tintype {
namespace {

constexpr std::array kUnetPrefixes = {"model.diffusion_model.", ""};
constexpr std::array kVaePrefixes = {"first_stage_model.", "vae.", ""};
/// Where the towers lie inside a checkpoint, first and second, then how files of their own spell
/// it. `cond_stage_model.1.` is stable-diffusion.cpp's second tower.
constexpr std::array kFirstTowerPrefixes = {
    "cond_stage_model.transformer.", "cond_stage_model.model.",
    "conditioner.embedders.0.transformer.", "text_encoders.clip_l.transformer."};
constexpr std::array kSecondTowerPrefixes = {"conditioner.embedders.1.model.",
                                             "conditioner.embedders.0.model.",
                                             "conditioner.embedders.1.transformer.",
                                             "cond_stage_model.1.transformer.",
                                             "cond_stage_model.1.model.",
                                             "text_encoders.clip_g.transformer."};
constexpr std::array kBareTowerPrefixes = {"", "model.", "transformer."};

/// Left by training or by other programs: schedules, averaged weights, optimiser states, markers.
constexpr std::array<std::string_view, 15> kIgnoredStarts = {
    "model_ema.",    "alphas_cumprod", "betas",        "denoiser.",     "global_step",
    "log_one_minus", "log_var",        "logvar",       "lvlb_weights",  "optimizer_states",
    "posterior_",    "sqrt_",          "scale_factor", "lr_schedulers", "callbacks"};

constexpr std::string_view kVelocityMarker = "v_pred";
constexpr std::string_view kZeroSnrMarker = "ztsnr";

/// Names that tell another kind of file, after the network's prefix or without it.
struct Telltale {
  std::string_view start, kind;
};
constexpr std::array kTelltales = {
    Telltale{"double_blocks.0.", "a FLUX transformer"},
    Telltale{"joint_blocks.0.", "a Stable Diffusion 3 transformer"},
    Telltale{"noise_refiner.0.", "a Lumina or Z-Image transformer"},
    Telltale{"transformer_blocks.0.", "a diffusion transformer"},
    Telltale{"blocks.0.", "a diffusion transformer"},
    Telltale{"layers.0.", "a transformer"},
    Telltale{"lora_", "a LoRA, which is added to a model and is none itself"},
    Telltale{"unet.", "a LoRA or a file of several diffusers parts"},
    Telltale{"control_model.", "a ControlNet"},
    Telltale{"input_hint_block.", "a ControlNet"},
    Telltale{"down_blocks.0.", "a network in diffusers layout; give the folder it comes from"},
    Telltale{"first_stage_model.", "an autoencoder alone; it can replace that of a model"},
    Telltale{"encoder.conv_in.", "an autoencoder alone; it can replace that of a model"},
    Telltale{"text_model.", "a text encoder alone; it can replace that of a model"},
    Telltale{"emb_params", "a textual-inversion embedding"},
    Telltale{"string_to_param", "a textual-inversion embedding"}};

/// Variants built on the family's UNet that need what nothing here has.
constexpr std::array kVariants = {
    Telltale{"edm_mean", "Playground 2.5, whose latents are normalised per channel"},
    Telltale{"edm_vpred.sigma_max", "CosXL, whose noise levels are continuous"},
    Telltale{"model.diffusion_model.input_blocks.1.0.time_stack.", "a video model"},
    Telltale{"model.diffusion_model.label_emb.weight", "the x4 upscaler"},
    Telltale{"embedder.model.", "SD 2 unCLIP, which is conditioned on pictures"}};

/// Family facts that no shape tells. Sources: the released configs.
FamilyTraits sd1_traits() {
  return {.name = "SD 1.x",
          .pipeline = "StableDiffusionPipeline",
          .text_towers = {{.quick_gelu = true}}};
}
FamilyTraits sd2_traits() {
  return {.name = "SD 2.x",
          .pipeline = "StableDiffusionPipeline",
          .text_towers = {{.penultimate_only = true}}};
}
FamilyTraits sdxl_traits() {
  return {.name = "SDXL",
          .pipeline = "StableDiffusionXLPipeline",
          .vae_scaling_factor = 0.13025,
          .text_towers = {{.quick_gelu = true}, {.projection = true}},
          .zero_absent_negative = true};
}
FamilyTraits refiner_traits() {
  return {.name = "SDXL refiner",
          .pipeline = "StableDiffusionXLImg2ImgPipeline",
          .vae_scaling_factor = 0.13025,
          .text_towers = {{.projection = true}},
          .requires_aesthetics_score = true};
}

/// True for `name` itself or, when it ends in a dot, anything below it; readable or not.
bool has_any(const TensorSource& source, std::string_view name) {
  if (find_by_name(source.unreadable(), name) != nullptr) return true;
  return name.ends_with('.') ? NamedShapes(source).any_below(name) : NamedShapes(source).has(name);
}

[[noreturn]] void fail_unknown(const TensorSource& source) {
  for (const char* prefix : kUnetPrefixes) {
    for (const Telltale& tale : kTelltales) {
      if (!NamedShapes(source, prefix).any_below(tale.start)) continue;
      fail(ErrorKind::kUnsupported, source.origin(),
           "must be a Stable Diffusion 1.x, 2.x or XL checkpoint, got ", tale.kind,
           ", told by tensors named ", prefix, tale.start, "*");
    }
  }
  const auto entries = source.entries();
  fail(ErrorKind::kUnsupported, source.origin(),
       "must be a Stable Diffusion 1.x, 2.x or XL checkpoint with "
       "model.diffusion_model.input_blocks.0.0.weight, got ",
       entries.empty() ? std::string("no tensors")
                       : cat(entries.size(), " others, the first ",
                             printable(entries.front().name, 120), " ", entries.front().shape));
}

/// The first of `prefixes` below which `is` recognises something.
template <typename Prefixes>
std::optional<NamedShapes> locate(const TensorSource& source, const Prefixes& prefixes,
                                  bool (*is)(const NamedShapes&)) {
  for (const char* prefix : prefixes) {
    NamedShapes names(source, prefix);
    if (is(names)) return names;
  }
  return {};
}

/// The family by the network's own structure; the text encoders decide between SDXL's two stages.
FamilyTraits family_of(const NamedShapes& unet) {
  const TensorSource& source = unet.source();
  for (const Telltale& variant : kVariants) {
    if (!has_any(source, variant.start)) continue;
    fail(ErrorKind::kUnsupported, source.origin(),
         "must be a Stable Diffusion 1.x, 2.x or XL checkpoint, got ", variant.kind, ", told by ",
         variant.start);
  }
  const auto context_width = [&] {
    return unet.extent("middle_block.1.transformer_blocks.0.attn2.to_k.weight", 1, 2);
  };
  if (unet.any_below("label_emb.")) {
    if (has_any(source, "cond_stage_model.model."))
      fail(ErrorKind::kUnsupported, source.origin(),
           "a network with an added embedding must come with SDXL's text encoders, got ",
           unet.prefix(), "label_emb beside cond_stage_model.model");
    constexpr int64_t kRefinerContext = 1280;
    const bool base = has_any(source, "conditioner.embedders.1.") ||
                      has_any(source, "conditioner.embedders.0.transformer.") ||
                      has_any(source, "cond_stage_model.1.");
    const bool refiner = has_any(source, "conditioner.embedders.0.model.");
    return !base && (refiner || context_width() == kRefinerContext) ? refiner_traits()
                                                                    : sdxl_traits();
  }
  // Some quantised files hold SD 1.x's 1x1 convolutions as matrices too; only 1.x has this context.
  constexpr int64_t kFirstContext = 768;
  const Shape* proj_in = unet.find("middle_block.1.proj_in.weight");
  const bool linear = proj_in != nullptr && proj_in->rank() == 2;
  return linear && context_width() != kFirstContext ? sd2_traits() : sd1_traits();
}

CheckpointPart text_part(const NamedShapes& names, const TextTowerOptions& options) {
  TextTower tower = describe_text_tower(names, options);
  return {.class_name = std::move(tower.class_name),
          .keys = std::move(tower.keys),
          .config = std::move(tower.config),
          .undecided = std::move(tower.undecided)};
}

CheckpointPart vae_part(const NamedShapes& names, double scaling_factor) {
  OriginalAutoencoder vae = describe_autoencoder(names, scaling_factor);
  return {.class_name = "AutoencoderKL",
          .keys = std::move(vae.keys),
          .config = std::move(vae.config),
          .undecided = {}};
}

/// A tower's place among diffusers' folders: the second is the one with the pooled projection.
void describe_text_encoders(const TensorSource& source, SingleFileCheckpoint& checkpoint) {
  for (const TextTowerOptions& options : checkpoint.family.text_towers) {
    const auto names = options.projection ? locate(source, kSecondTowerPrefixes, is_text_tower)
                                          : locate(source, kFirstTowerPrefixes, is_text_tower);
    if (names) checkpoint.text_encoders[options.projection ? 1 : 0] = text_part(*names, options);
  }
}

int64_t sample_size_of(const FamilyTraits& family, std::string_view prediction_type) {
  if (family.vae_scaling_factor < 0.18) return 128;    // SDXL and its refiner
  return prediction_type == "v_prediction" ? 96 : 64;  // of SD 2.x, those made for 768 pixels
}

Json scheduler_of(const SingleFileCheckpoint& checkpoint, bool zero_snr) {
  const bool pooled = checkpoint.family.text_towers.back().projection;
  const bool velocity = checkpoint.prediction_type == "v_prediction";
  Json json = {{"num_train_timesteps", 1000},
               {"beta_start", 0.00085},
               {"beta_end", 0.012},
               {"beta_schedule", "scaled_linear"},
               {"steps_offset", 1},
               {"timestep_spacing", "leading"},
               {"prediction_type", checkpoint.prediction_type}};
  json["_class_name"] = pooled     ? "EulerDiscreteScheduler"
                        : velocity ? "DDIMScheduler"
                                   : "PNDMScheduler";
  if (!pooled) {
    json["set_alpha_to_one"] = false;
    json["clip_sample"] = false;
    if (!velocity) json["skip_prk_steps"] = true;
  }
  if (zero_snr) {
    json["rescale_betas_zero_snr"] = true;
    json["timestep_spacing"] = "trailing";  // the last timestep must be among the steps
  }
  return json;
}

void set_prediction(SingleFileCheckpoint& checkpoint, std::string type) {
  const bool zero_snr = checkpoint.scheduler.value("rescale_betas_zero_snr", false);
  checkpoint.prediction_type = std::move(type);
  checkpoint.scheduler = scheduler_of(checkpoint, zero_snr);
  checkpoint.unet->config["sample_size"] =
      sample_size_of(checkpoint.family, checkpoint.prediction_type);
}

/// The network's inputs must be latents, or latents, a mask and masked latents.
void check_inputs(const NamedShapes& names, SingleFileCheckpoint& checkpoint) {
  const int64_t in = checkpoint.unet->config["in_channels"];
  const int64_t out = checkpoint.unet->config["out_channels"];
  checkpoint.inpainting = in == 2 * out + 1;
  if (in == out || checkpoint.inpainting) return;
  fail(ErrorKind::kUnsupported, names.source().origin(), names.prefix(),
       "input_blocks.0.0.weight must have ", out, " or ", 2 * out + 1, " inputs, got ", in,
       in == 2 * out ? "; this count suggests an instruct-pix2pix checkpoint" : "");
}

/// Names that no part and no list accounts for.
std::vector<std::string> unclaimed_names(const TensorSource& source,
                                         const SingleFileCheckpoint& checkpoint) {
  std::vector<std::string> prefixes;
  const auto claim = [&](const std::optional<CheckpointPart>& part) {
    if (part) prefixes.push_back(part->keys.prefix);
  };
  claim(checkpoint.unet);
  claim(checkpoint.vae);
  for (const auto& part : checkpoint.text_encoders) claim(part);
  const auto known = [&](const std::string& name) {
    const auto starts = [&](const auto& start) { return name.starts_with(start); };
    return name == kVelocityMarker || name == kZeroSnrMarker ||
           std::any_of(prefixes.begin(), prefixes.end(), starts) ||
           std::any_of(kIgnoredStarts.begin(), kIgnoredStarts.end(), starts);
  };
  std::vector<std::string> names;
  for (const auto& entry : source.entries())
    if (!known(entry.name)) names.push_back(entry.name);
  for (const auto& other : source.unreadable())
    if (!known(other.name)) names.push_back(other.name);
  return names;
}

/// Where the training of SD 2.0 base stopped, by which the reference tells it from the others.
/// source  diffusers loaders/single_file_utils.py, _legacy_load_scheduler
constexpr int64_t kLastStepOfEpsilon = 875000;

/// The training step that some files hold, as I64, I32 or f32.
std::optional<int64_t> global_step(const TensorSource& source) {
  if (const auto* other = find_by_name(source.unreadable(), "global_step")) return other->number;
  const auto* entry = find_by_name(source.entries(), "global_step");
  if (entry == nullptr || entry->shape.numel() != 1) return {};
  const Tensor value = source.read(*entry);
  if (entry->dtype == DType::kI32) return value.data<int32_t>()[0];
  if (entry->dtype != DType::kF32) return {};
  const float step = value.data<float>()[0];
  return step >= 0 && step < 1e12f ? std::optional(static_cast<int64_t>(step)) : std::nullopt;
}

/// Standard deviation of a float tensor, as torch.std.
double deviation(const Tensor& x) {
  const auto value = [&](int64_t i) -> double {
    if (x.dtype() == DType::kF32) return x.data<float>()[i];
    const uint16_t bits = reinterpret_cast<const uint16_t*>(x.bytes())[i];
    return x.dtype() == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
  };
  const auto count = static_cast<double>(x.numel());
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < x.numel(); ++i) sum += value(i);
  for (int64_t i = 0; i < x.numel(); ++i) squares += std::pow(value(i) - sum / count, 2);
  return count < 2 ? 0 : std::sqrt(squares / (count - 1));
}

}  // namespace

SingleFileCheckpoint identify_single_file(const TensorSource& source) {
  const auto unet = locate(source, kUnetPrefixes, is_original_unet);
  if (!unet) fail_unknown(source);
  SingleFileCheckpoint checkpoint;
  checkpoint.family = family_of(*unet);
  const FamilyTraits& family = checkpoint.family;
  describe_text_encoders(source, checkpoint);

  const bool first_generation =
      family.text_towers.front().quick_gelu && family.text_towers.size() == 1;
  OriginalUnetOptions options;
  if (first_generation) options.heads = 8;
  if (checkpoint.text_encoders[1])
    options.pooled_width = checkpoint.text_encoders[1]->config["projection_dim"].get<int64_t>();
  if (family.requires_aesthetics_score) options.added_numbers = 5;
  OriginalUnet described = describe_original_unet(*unet, options);
  checkpoint.unet = CheckpointPart{.class_name = "UNet2DConditionModel",
                                   .keys = std::move(described.keys),
                                   .config = std::move(described.config),
                                   .undecided = std::move(described.undecided)};
  check_inputs(*unet, checkpoint);
  if (const auto vae = locate(source, kVaePrefixes, is_autoencoder))
    checkpoint.vae = vae_part(*vae, family.vae_scaling_factor);

  const bool velocity = has_any(source, kVelocityMarker);
  const bool zero_snr = has_any(source, kZeroSnrMarker);
  checkpoint.prediction_type = velocity ? "v_prediction" : "epsilon";
  checkpoint.scheduler = scheduler_of(checkpoint, zero_snr);
  checkpoint.unet->config["sample_size"] = sample_size_of(family, checkpoint.prediction_type);
  checkpoint.ambiguous_prediction =
      family.text_towers.front().penultimate_only && !velocity && !checkpoint.inpainting;
  checkpoint.has_ema = NamedShapes(source).any_below("model_ema.");
  checkpoint.unclaimed = unclaimed_names(source, checkpoint);
  return checkpoint;
}

std::string settle_prediction(SingleFileCheckpoint& checkpoint, const TensorSource& source,
                              std::optional<std::string_view> wanted) {
  if (wanted) {
    TT_REQUIRE(*wanted == "epsilon" || *wanted == "v_prediction", "prediction",
               "must be epsilon or v_prediction, got \"", printable(*wanted), "\"");
    set_prediction(checkpoint, std::string(*wanted));
    checkpoint.ambiguous_prediction = false;
    return cat("prediction type ", *wanted, ", as asked for");
  }
  if (!checkpoint.ambiguous_prediction) return {};
  if (const auto step = global_step(source); step == kLastStepOfEpsilon) {
    set_prediction(checkpoint, "epsilon");
    checkpoint.ambiguous_prediction = false;
    return cat("prediction type epsilon is assumed: the file's global_step is ", *step,
               ", as in SD 2.0 base; override it if pictures come out as noise");
  }
  // ComfyUI's test (comfy/supported_models.py, SD20): in the networks retrained to predict velocity
  // the biases of the last attention's first norm are spread wider. All released ones obey it.
  constexpr double kVelocityDeviation = 0.09;
  const NamedShapes names(source, checkpoint.unet->keys.prefix);
  const int64_t last = names.count("output_blocks.") - 1;
  const std::string name =
      cat(names.prefix(), "output_blocks.", last, ".1.transformer_blocks.0.norm1.bias");
  const auto* entry = find_by_name(source.entries(), name);
  const bool readable =
      entry != nullptr &&
      (entry->dtype == DType::kF32 || entry->dtype == DType::kF16 || entry->dtype == DType::kBF16);
  if (!readable)
    return cat("prediction type epsilon is assumed: the file does not say, and lacks ", name,
               " to tell by; override it if pictures come out as noise");
  const double spread = deviation(source.read(*entry));
  set_prediction(checkpoint, spread > kVelocityDeviation ? "v_prediction" : "epsilon");
  checkpoint.ambiguous_prediction = false;
  return cat("prediction type ", checkpoint.prediction_type, " is assumed: the file does not say; ",
             name, " has a standard deviation of ", spread, ", and above ", kVelocityDeviation,
             " means v_prediction; override it if pictures come out as noise");
}

std::shared_ptr<const TensorSource> component_source(std::shared_ptr<const TensorSource> source,
                                                     const CheckpointPart& part) {
  return map_keys(std::move(source), part.keys);
}

CheckpointPart identify_vae_file(const TensorSource& source, double scaling_factor) {
  const auto names = locate(source, kVaePrefixes, is_autoencoder);
  if (!names) {
    fail(ErrorKind::kUnsupported, source.origin(),
         "must hold an autoencoder with decoder.conv_in.weight, alone or below first_stage_model, "
         "got none");
  }
  return vae_part(*names, scaling_factor);
}

CheckpointPart identify_text_encoder_file(const TensorSource& source,
                                          const TextTowerOptions& options) {
  auto names = options.projection ? locate(source, kSecondTowerPrefixes, is_text_tower)
                                  : locate(source, kFirstTowerPrefixes, is_text_tower);
  if (!names) names = locate(source, kBareTowerPrefixes, is_text_tower);
  if (!names) {
    fail(ErrorKind::kUnsupported, source.origin(),
         "must hold a CLIP text encoder with text_model.embeddings.token_embedding.weight or "
         "OpenCLIP's token_embedding.weight, got none");
  }
  return text_part(*names, options);
}

}  // namespace tintype
