#include "pipelines/diffusion_model.h"

#include "base/json.h"
#include "base/text.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

/// model_index.json names each part as ["library", "Class"].
ComponentLocation locate(const JsonObject& index, const fs::path& folder, const char* part) {
  const Json& json = index.json();
  const auto entry = json.find(part);
  if (entry == json.end() || !entry->is_array() || entry->size() != 2 || !(*entry)[1].is_string())
    fail(ErrorKind::kCorruptFile, index.origin(), part,
         " must be a pair [library, class], got ",
         entry == json.end() ? "nothing" : printable(entry->dump()));
  return {folder / part, (*entry)[1].get<std::string>()};
}

void require_fit(const DiffusionModel& m) {
  const auto& text = m.text_encoder->traits();
  const auto& network = m.network->traits();
  const auto& codec = m.codec->traits();
  const auto mismatch = [&](const auto&... what) {
    fail(ErrorKind::kCorruptFile, m.name, what...);
  };
  if (m.tokenizer.vocabulary_size() > text.vocabulary)
    mismatch("the text encoder must know every token, it has ", text.vocabulary,
             " and the tokenizer ", m.tokenizer.vocabulary_size(),
             "; the two folders may come from different models");
  if (m.tokenizer.window() > text.window)
    mismatch("the tokenizer's window must fit the text encoder's ", text.window, " positions, got ",
             m.tokenizer.window());
  if (text.width != network.context_width)
    mismatch("the network expects text features ", network.context_width,
             " wide, the text encoder makes ", text.width,
             "; the two folders may come from different models");
  if (network.in_channels != codec.latent_channels)
    fail(ErrorKind::kUnsupported, m.name, "text to image needs a network with ",
         codec.latent_channels, " input channels, as the autoencoder makes, got ",
         network.in_channels,
         network.in_channels == 2 * codec.latent_channels + 1
             ? "; this count suggests an inpainting checkpoint"
             : "");
  if (network.out_channels != network.in_channels)
    fail(ErrorKind::kUnsupported, m.name, "the network must answer with ", network.in_channels,
         " channels, got ", network.out_channels);
}

}  // namespace

CheckpointLayout CheckpointLayout::read(const fs::path& given) {
  std::error_code status;
  const fs::path folder = fs::weakly_canonical(given, status);
  if (!fs::exists(given, status))
    fail(ErrorKind::kNotFound, printable(given.string()),
         "a checkpoint folder must exist here, found nothing");
  if (!fs::is_directory(given, status))
    fail(ErrorKind::kUnsupported, printable(given.string()),
         "a checkpoint must be a folder in diffusers layout (with model_index.json), got a single ",
         "file; diffusers converts one with from_single_file(...).save_pretrained(FOLDER)");
  const fs::path index_path = folder / "model_index.json";
  const Json json = read_json_file(index_path, 1u << 20);
  const JsonObject index(json, index_path.string());
  CheckpointLayout layout{folder, index.text("_class_name", ""), {}, {}, {}};
  if (layout.pipeline != "StableDiffusionPipeline")
    fail(ErrorKind::kUnsupported, index.origin(),
         "_class_name must be StableDiffusionPipeline, got \"", printable(layout.pipeline), "\"");
  layout.text_encoder = locate(index, folder, "text_encoder");
  layout.network = locate(index, folder, "unet");
  layout.codec = locate(index, folder, "vae");
  return layout;
}

DiffusionModel DiffusionModel::load(const CheckpointLayout& layout, Device device,
                                    const RunContext& context) {
  constexpr int kParts = 4;
  context.report(Stage::kLoad, 0, kParts);
  DiffusionModel model{.name = layout.folder.filename().string(),
                       .device = device,
                       .tokenizer = ClipTokenizer::load(layout.folder / "tokenizer"),
                       .text_encoder = nullptr,
                       .network = nullptr,
                       .codec = nullptr,
                       .schedule = NoiseScheduleConfig::from_file(
                           layout.folder / "scheduler" / "scheduler_config.json")};
  context.report(Stage::kLoad, 1, kParts);
  model.text_encoder = load_text_encoder(layout.text_encoder, device);
  context.report(Stage::kLoad, 2, kParts);
  model.network = load_denoising_network(layout.network, device);
  context.report(Stage::kLoad, 3, kParts);
  model.codec = load_latent_codec(layout.codec, device);
  context.report(Stage::kLoad, kParts, kParts);
  require_fit(model);
  return model;
}

int DiffusionModel::default_width_px() const {
  return static_cast<int>(network->traits().default_width * codec->traits().factor);
}

int DiffusionModel::default_height_px() const {
  return static_cast<int>(network->traits().default_height * codec->traits().factor);
}

}  // namespace tintype
