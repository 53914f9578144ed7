#include "pipelines/single_file_layout.h"

#include "base/text.h"
#include "models/averaged_network.h"
#include "models/single_file.h"
#include "weights/gguf.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;
using Source = std::shared_ptr<const TensorSource>;

Component component(const char* name, const std::optional<CheckpointPart>& part,
                    const Source& source, const char* remedy) {
  if (!part)
    fail(ErrorKind::kUnsupported, source->origin(), "a checkpoint must hold its ", name,
         ", this file has none", remedy);
  if (!part->undecided.empty()) fail(ErrorKind::kUnsupported, source->origin(), part->undecided);
  return {.name = name,
          .class_name = part->class_name,
          .config_origin = source->origin() + " (" + name + ", from its shapes)",
          .config = part->config,
          .precision = {},
          .open = [source, part = *part] { return component_source(source, part); }};
}

/// The tokenizer of tower `i`: the one given for it, the only one given, or CLIP's own. OpenCLIP's
/// towers were trained with id 0 as padding, OpenAI's with the end mark; a tokenizer named for its
/// tower knows.
ClipTokenizer tokenizer_for(const LoadOptions& options, size_t i, const Component& encoder) {
  const auto& folders = options.tokenizers;
  const bool open_clip = encoder.config.value("hidden_act", "") != "quick_gelu";
  const ClipTokenizer tokenizer =
      folders.empty() ? ClipTokenizer::openai()
                      : ClipTokenizer::load(folders[std::min(i, folders.size() - 1)]);
  const int64_t known = encoder.config.value("vocab_size", tokenizer.vocabulary_size());
  if (folders.empty() && known < tokenizer.vocabulary_size())
    fail(ErrorKind::kInvalidArgument, encoder.config_origin,
         "without a tokenizer it must know the ", tokenizer.vocabulary_size(),
         " tokens of CLIP, it knows ", known,
         "; name the one it was trained with, a folder with vocab.json and merges.txt "
         "(--tokenizer FOLDER)");
  const bool its_own = folders.size() > 1 && i < folders.size();
  return open_clip && !its_own ? tokenizer.with_pad_id(0) : tokenizer;
}

std::vector<CheckpointLayout::TextTower> text_towers(const SingleFileCheckpoint& found,
                                                     const Source& source,
                                                     const LoadOptions& options) {
  std::vector<CheckpointLayout::TextTower> towers;
  const bool two = found.family.text_towers.size() == 2;
  if (!options.text_encoder.empty() && found.family.text_towers.front().projection)
    fail(ErrorKind::kInvalidArgument, "text_encoder",
         "a file of its own replaces the first text encoder, ", source->origin(), " is an ",
         found.family.name, " and has the second only");
  for (size_t i = 0; i < found.text_encoders.size(); ++i) {
    // SDXL's refiner has a tower in the second place only.
    const bool wanted = found.text_encoders[i] || two || (i == 0 && !found.text_encoders[1]);
    if (!wanted) continue;
    Source from = source;
    std::optional<CheckpointPart> part = found.text_encoders[i];
    if (i == 0 && !options.text_encoder.empty()) {
      from = open_weights_file(options.text_encoder);
      part = identify_text_encoder_file(*from, found.family.text_towers.at(0));
    }
    const Component encoder = component(i == 0 ? "text_encoder" : "text_encoder_2", part, from,
                                        "; name a file with one (--text-encoder FILE)");
    towers.push_back({tokenizer_for(options, towers.size(), encoder), encoder});
  }
  return towers;
}

/// Models distilled to a few steps have the tensors of their base, whose spacing would leave out
/// the one timestep that they were trained on. Nothing but the name tells; the reference needs to
/// be told. Returns a sentence that says so, empty when the name is an ordinary one. source
/// scheduler_config.json of stabilityai/sdxl-turbo, stabilityai/sd-turbo
std::string settle_distilled(SingleFileCheckpoint& found, const fs::path& file) {
  std::string name = file.stem().string();
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const bool turbo = name.find("turbo") != std::string::npos;
  const bool lightning = name.find("lightning") != std::string::npos;
  const TextTowerOptions& first = found.family.text_towers.front();
  const bool first_generation = first.quick_gelu && found.family.text_towers.size() == 1;
  if ((!turbo && !lightning) || first_generation || found.prediction_type != "epsilon") return {};
  const bool ancestral = turbo && found.family.text_towers.size() == 2;
  found.scheduler["_class_name"] =
      ancestral ? "EulerAncestralDiscreteScheduler" : "EulerDiscreteScheduler";
  found.scheduler["timestep_spacing"] = "trailing";
  return cat("trailing timesteps are assumed, as for models of few steps: the file's name has \"",
             turbo ? "turbo" : "lightning", "\"; --timestep-spacing overrides it");
}

/// What lies in the file and is not used; empty when that is nothing.
std::string leftovers(const SingleFileCheckpoint& found, const LoadOptions& options) {
  std::string text;
  if (found.has_ema && !options.ema)
    text = "the averaged copy of the network (model_ema.*) is not used, --ema takes it";
  if (found.unclaimed.empty()) return text;
  if (!text.empty()) text += "; ";
  return text + cat(found.unclaimed.size(),
                    " tensors belong to no part and are not used, the first ",
                    printable(found.unclaimed.front(), 120));
}

}  // namespace

CheckpointLayout read_single_file(const fs::path& file, const LoadOptions& options) {
  const Source plain = open_weights_file(file);
  const Source source = options.ema ? with_averaged_network(plain) : plain;
  SingleFileCheckpoint found = identify_single_file(*source);
  std::optional<std::string_view> wanted;
  if (!options.prediction_type.empty()) wanted = options.prediction_type;
  std::string note;
  for (const std::string& part : {settle_prediction(found, *source, wanted),
                                  settle_distilled(found, file), leftovers(found, options)})
    if (!part.empty()) note += (note.empty() ? "" : "; ") + part;

  Source vae_source = source;
  std::optional<CheckpointPart> vae = found.vae;
  if (!options.vae.empty()) {
    vae_source = open_weights_file(options.vae);
    vae = identify_vae_file(*vae_source, found.family.vae_scaling_factor);
  }
  CheckpointLayout layout{
      .name = file.stem().string(),
      .kind = found.family.name,
      .note = note,
      .traits = PipelineTraits::for_class(found.family.pipeline),
      .text_towers = text_towers(found, source, options),
      .network = component("unet", found.unet, source, ""),
      .codec = component("vae", vae, vae_source, "; name a file with one (--vae FILE)"),
      .schedule = NoiseScheduleConfig::from_json(
          JsonObject(found.scheduler, source->origin() + " (schedule of the family)")),
      .schedule_json = found.scheduler};
  layout.traits.zero_absent_negative = found.family.zero_absent_negative;
  return layout;
}

}  // namespace tintype
