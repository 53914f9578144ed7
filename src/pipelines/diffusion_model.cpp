#include "pipelines/diffusion_model.h"

#include <atomic>

#include "base/check.h"
#include "base/json.h"
#include "base/text.h"
#include "models/precision.h"
#include "pipelines/packed_layout.h"
#include "pipelines/single_file_layout.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLatentRgbFile = "latent_rgb.json";
constexpr int64_t kSizeTimeIds = 6;   // original, crop, target: height and width each
constexpr int64_t kScoreTimeIds = 5;  // original, crop, aesthetic score

/// One entry for each pipeline class of diffusers that a folder may name.
std::vector<PipelineTraits> known_pipelines() {
  const PipelineTraits sd;
  const PipelineTraits xl{.class_name = {},
                          .skipped_text_layers = 1,
                          .final_layer_norm = false,
                          .zero_absent_negative = true,
                          .corrected = nullptr,
                          .default_guidance = 5.0f};
  std::vector<PipelineTraits> entries;
  const auto add = [&](const char* class_name, const PipelineTraits& traits) {
    entries.push_back(traits);
    entries.back().class_name = class_name;
  };
  add("StableDiffusionPipeline", sd);
  add("StableDiffusionImg2ImgPipeline", sd);
  add("StableDiffusionInpaintPipeline", sd);
  entries.back().corrected = stable_diffusion_inpaint_config;
  add("StableDiffusionXLPipeline", xl);
  add("StableDiffusionXLImg2ImgPipeline", xl);
  add("StableDiffusionXLInpaintPipeline", xl);
  return entries;
}

/// model_index.json names each part as ["library", "Class"]; [null, null] is a part left out.
bool has_part(const JsonObject& index, const char* part) {
  const auto entry = index.json().find(part);
  return entry != index.json().end() && !entry->is_null() &&
         !(entry->is_array() && entry->size() == 2 && (*entry)[1].is_null());
}

Component locate(const JsonObject& index, const fs::path& folder, const char* part) {
  const Json& json = index.json();
  const auto entry = json.find(part);
  if (entry == json.end() || !entry->is_array() || entry->size() != 2 || !(*entry)[1].is_string())
    fail(ErrorKind::kCorruptFile, index.origin(), part, " must be a pair [library, class], got ",
         entry == json.end() ? "nothing" : printable(entry->dump()));
  return folder_component(folder / part, (*entry)[1].get<std::string>());
}

/// The text towers that the folder has: SDXL's refiner has the second alone.
std::vector<CheckpointLayout::TextTower> locate_text_towers(const JsonObject& index,
                                                            const fs::path& folder) {
  std::vector<CheckpointLayout::TextTower> towers;
  const bool second = has_part(index, "text_encoder_2");
  if (!second || has_part(index, "text_encoder"))
    towers.push_back(
        {ClipTokenizer::load(folder / "tokenizer"), locate(index, folder, "text_encoder")});
  if (second)
    towers.push_back(
        {ClipTokenizer::load(folder / "tokenizer_2"), locate(index, folder, "text_encoder_2")});
  return towers;
}

/// A folder says everything itself, and so does a packed model; an option that would do nothing is
/// refused.
void require_no_options(const LoadOptions& options, std::string_view kind) {
  const auto refuse = [&](const char* option, bool given) {
    TT_REQUIRE(!given, option, "is for checkpoints in one file, this one is a ", kind,
               ", which holds its own");
  };
  refuse("tokenizer", !options.tokenizers.empty());
  refuse("vae", !options.vae.empty());
  refuse("text_encoder", !options.text_encoder.empty());
  refuse("prediction", !options.prediction_type.empty());
  refuse("ema", options.ema);
}

template <typename... What>
[[noreturn]] void mismatch(const DiffusionModel& m, const What&... what) {
  fail(ErrorKind::kCorruptFile, m.name, what...,
       "; the two folders may come from different models");
}

void require_fit(const DiffusionModel& m, const DiffusionModel::TextTower& tower) {
  const auto& text = tower.encoder->traits();
  if (tower.tokenizer.vocabulary_size() > text.vocabulary)
    mismatch(m, "the text encoder must know every token, it has ", text.vocabulary,
             " and the tokenizer ", tower.tokenizer.vocabulary_size());
  if (tower.tokenizer.window() > text.window)
    mismatch(m, "the tokenizer's window must fit the text encoder's ", text.window,
             " positions, got ", tower.tokenizer.window());
  if (tower.tokenizer.window() != m.text_towers.front().tokenizer.window())
    mismatch(m, "the tokenizers must have one window, got ",
             m.text_towers.front().tokenizer.window(), " and ", tower.tokenizer.window());
  if (text.layers < m.traits.skipped_text_layers)
    fail(ErrorKind::kCorruptFile, m.name, "the text encoder must have ",
         m.traits.skipped_text_layers, " layers or more, got ", text.layers);
}

void require_fit(const DiffusionModel& m) {
  const auto& network = m.network->traits();
  const auto& codec = m.codec->traits();
  int64_t width = 0;
  for (const auto& tower : m.text_towers) {
    require_fit(m, tower);
    width += tower.encoder->traits().width;
  }
  if (width != network.context_width)
    mismatch(m, "the network expects text features ", network.context_width,
             " wide, the text encoder", m.text_towers.size() == 1 ? " makes " : "s make ", width);
  const int64_t inpainting = 2 * codec.latent_channels + 1;
  if (network.in_channels != codec.latent_channels && network.in_channels != inpainting)
    fail(ErrorKind::kUnsupported, m.name, "the network must have ", codec.latent_channels,
         " input channels, as the autoencoder makes, or ", inpainting, " for inpainting, got ",
         network.in_channels);
  if (network.out_channels != codec.latent_channels)
    fail(ErrorKind::kUnsupported, m.name, "the network must answer with ", codec.latent_channels,
         " channels, as the autoencoder takes, got ", network.out_channels);
  if (!network.added_width) return;
  const int64_t ids = m.time_id_count();
  if ((ids != kSizeTimeIds && ids != kScoreTimeIds) ||
      m.pooled_width() + ids * network.time_id_width != network.added_width)
    mismatch(m, "the network's added embedding must take pooled text features and ", kScoreTimeIds,
             " or ", kSizeTimeIds, " numbers of ", network.time_id_width, " channels, it takes ",
             network.added_width, " and the text encoder pools ", m.pooled_width());
}

uint64_t next_model_id() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

void apply_profile(CheckpointLayout& layout, const std::string& text) {
  const ProfileChoice choice = ProfileChoice::parse(text);
  const auto apply = [&](Component& component) {
    component.profile = choice.of(component.name);
    component.precision = precision_plan(component.profile, component.class_name);
  };
  for (CheckpointLayout::TextTower& tower : layout.text_towers) apply(tower.encoder);
  apply(layout.network);
  apply(layout.codec);
  layout.profile = choice.text();
}

CheckpointLayout read_folder(const fs::path& path, const LoadOptions& options) {
  require_no_options(options, "folder");
  const fs::path index_path = path / "model_index.json";
  const Json json = read_json_file(index_path, 1u << 20);
  const JsonObject index(json, index_path.string());
  const fs::path schedule_path = path / "scheduler" / "scheduler_config.json";
  const Json schedule = NoiseScheduleConfig::read_file(schedule_path);
  CheckpointLayout layout{
      .name = path.filename().string(),
      .kind = "folder",
      .note = {},
      .traits = PipelineTraits::for_class(index.text("_class_name", "")),
      .text_towers = locate_text_towers(index, path),
      .network = locate(index, path, "unet"),
      .codec = locate(index, path, "vae"),
      .schedule = NoiseScheduleConfig::from_json(JsonObject(schedule, schedule_path.string())),
      .schedule_json = schedule};
  if (const fs::path map = path / "vae" / kLatentRgbFile; fs::exists(map))
    layout.latent_rgb = read_json_file(map, 1u << 20);
  if (const std::string& used = layout.schedule.class_name; !has_sampler_for_class(used))
    layout.note = cat("its scheduler class ", used.empty() ? "(absent)" : printable(used, 80),
                      " is none of ours: name a sampler to draw with it");
  if (layout.traits.zero_absent_negative)
    layout.traits.zero_absent_negative = index.boolean("force_zeros_for_empty_prompt", true);
  return layout;
}

}  // namespace

std::vector<std::string> PipelineTraits::class_names() {
  std::vector<std::string> names;
  for (const PipelineTraits& entry : known_pipelines()) names.push_back(entry.class_name);
  return names;
}

PipelineTraits PipelineTraits::for_class(const std::string& class_name) {
  std::string known;
  for (const PipelineTraits& entry : known_pipelines()) {
    if (entry.class_name == class_name) return entry;
    known += cat(known.empty() ? "" : ", ", entry.class_name);
  }
  fail(ErrorKind::kUnsupported, "model_index.json", "_class_name must be one of ", known,
       ", got \"", printable(class_name), "\"");
}

CheckpointLayout CheckpointLayout::read(const fs::path& given, const LoadOptions& options) {
  std::error_code status;
  const fs::path path = fs::weakly_canonical(given, status);
  if (!fs::exists(given, status))
    fail(ErrorKind::kNotFound, printable(given.string()),
         "a checkpoint must exist here, found nothing");
  const auto read_it = [&] {
    if (fs::is_directory(given, status)) return read_folder(path, options);
    if (!is_packed_file(path)) return read_single_file(path, options);
    require_no_options(options, "packed model");
    return read_packed_layout(path);
  };
  CheckpointLayout layout = read_it();
  if (!options.timestep_spacing.empty()) {
    layout.schedule.timestep_spacing = parse_timestep_spacing(options.timestep_spacing);
    layout.schedule_json["timestep_spacing"] = options.timestep_spacing;
  }
  // What is packed was packed for one profile.
  TT_REQUIRE(!layout.packed || options.profile.empty() ||
                 ProfileChoice::parse(options.profile).text() == layout.profile,
             "profile", "this model was packed as ", printable(layout.profile, 80), ", asked for ",
             printable(options.profile, 80));
  apply_profile(layout, layout.packed ? layout.profile : options.profile);
  return layout;
}

DiffusionModel DiffusionModel::load(const CheckpointLayout& layout, Device device,
                                    const RunContext& context) {
  const int parts = static_cast<int>(layout.text_towers.size()) + 3;
  int done = 0;
  context.report(Stage::kLoad, done, parts);
  if (layout.packed && device != Device::kMeta) layout.packed->verify();
  DiffusionModel model{.name = layout.name,
                       .device = device,
                       .traits = layout.traits,
                       .text_towers = {},
                       .network = nullptr,
                       .codec = nullptr,
                       .schedule = layout.schedule,
                       .profile = layout.profile,
                       .default_reuse_threshold = reuse_threshold(layout.network.profile),
                       .merged_adapters = layout.merged_adapters,
                       .id = next_model_id()};
  context.report(Stage::kLoad, ++done, parts);
  for (const CheckpointLayout::TextTower& tower : layout.text_towers) {
    model.text_towers.push_back(
        {tower.tokenizer, load_text_encoder(tower.encoder, device), tower.encoder.name});
    context.report(Stage::kLoad, ++done, parts);
  }
  model.network = load_denoising_network(layout.network, device);
  context.report(Stage::kLoad, ++done, parts);
  model.codec = load_latent_codec(layout.codec, device);
  context.report(Stage::kLoad, parts, parts);
  require_fit(model);
  const LatentCodec::Traits& latent = model.codec->traits();
  model.latent_rgb =
      layout.latent_rgb
          ? LatentRgb::from_json(
                JsonObject(*layout.latent_rgb, cat(layout.name, " (", kLatentRgbFile, ")")),
                latent.latent_channels)
          : known_latent_rgb(latent);
  return model;
}

DiffusionModel DiffusionModel::load_in_turn(const CheckpointLayout& layout,
                                            const DiffusionModel& shapes, Device device,
                                            const std::shared_ptr<PartsInTurn>& turns) {
  if (layout.packed) layout.packed->verify();
  const auto turn = [&] {
    return TurnOfPart{turns, std::make_shared<PartsInTurn::Group>(), device};
  };
  DiffusionModel model{
      .name = shapes.name,
      .device = device,
      .traits = shapes.traits,
      .text_towers = {},
      .network = denoising_network_in_turn(turn(), layout.network, *shapes.network),
      .codec = latent_codec_in_turn(turn(), layout.codec, *shapes.codec),
      .schedule = shapes.schedule,
      .profile = shapes.profile,
      .latent_rgb = shapes.latent_rgb,
      .default_reuse_threshold = shapes.default_reuse_threshold,
      .merged_adapters = layout.merged_adapters,
      .id = next_model_id()};
  const TurnOfPart together = turn();
  for (size_t i = 0; i < layout.text_towers.size(); ++i)
    model.text_towers.push_back({layout.text_towers[i].tokenizer,
                                 text_encoder_in_turn(together, layout.text_towers[i].encoder,
                                                      *shapes.text_towers[i].encoder),
                                 layout.text_towers[i].encoder.name});
  return model;
}

int64_t DiffusionModel::pooled_width() const {
  for (const TextTower& tower : text_towers)
    if (tower.encoder->traits().pooled_width) return tower.encoder->traits().pooled_width;
  return 0;
}

int64_t DiffusionModel::time_id_count() const {
  const auto& n = network->traits();
  return n.added_width ? (n.added_width - pooled_width()) / n.time_id_width : 0;
}

int DiffusionModel::default_width_px() const {
  return static_cast<int>(network->traits().default_width * codec->traits().factor);
}

int DiffusionModel::default_height_px() const {
  return static_cast<int>(network->traits().default_height * codec->traits().factor);
}

}  // namespace tintype
