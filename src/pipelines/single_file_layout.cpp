#include "pipelines/single_file_layout.h"

#include "base/text.h"
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
          .open = [source, part = *part] { return component_source(source, part); }};
}

/// The tokenizer of tower `i`: the one given for it, or the only one.
fs::path tokenizer_for(const LoadOptions& options, size_t i, const Source& source) {
  if (options.tokenizers.empty())
    fail(ErrorKind::kInvalidArgument, source->origin(),
         "a single file holds no tokenizer: name one, a folder with vocab.json and merges.txt "
         "(--tokenizer FOLDER)");
  return options.tokenizers[std::min(i, options.tokenizers.size() - 1)];
}

}  // namespace

CheckpointLayout read_single_file(const fs::path& file, const LoadOptions& options) {
  const Source source = open_weights_file(file);
  SingleFileCheckpoint found = identify_single_file(*source);
  std::optional<std::string_view> wanted;
  if (!options.prediction_type.empty()) wanted = options.prediction_type;
  const std::string note = settle_prediction(found, *source, wanted);

  std::vector<CheckpointLayout::TextTower> towers;
  for (size_t i = 0; i < found.text_encoders.size(); ++i) {
    // The families' traits list towers in order; SDXL's refiner has the second place only.
    const bool missing = !found.text_encoders[i];
    const bool expected =
        found.family.text_towers.size() > i && found.family.text_towers.size() > 1;
    if (missing && !expected && (i > 0 || found.text_encoders[1])) continue;
    const char* name = i == 0 ? "text_encoder" : "text_encoder_2";
    Source from = source;
    std::optional<CheckpointPart> part = found.text_encoders[i];
    if (i == 0 && !options.text_encoder.empty()) {
      from = open_weights_file(options.text_encoder);
      part = identify_text_encoder_file(*from, found.family.text_towers.at(0));
    }
    CheckpointLayout::TextTower tower{
        tokenizer_for(options, towers.size(), source),
        {},
        component(name, part, from, "; name a file with one (--text-encoder FILE)")};
    // OpenCLIP's towers were trained with id 0 as padding, OpenAI's with the end mark.
    const bool open_clip = part->config.value("hidden_act", "") != "quick_gelu";
    if (open_clip && options.tokenizers.size() <= towers.size()) tower.pad_id = 0;
    if (open_clip && found.family.text_towers.size() == 1 && options.tokenizers.size() == 1)
      tower.pad_id = 0;
    towers.push_back(std::move(tower));
  }

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
      .text_towers = std::move(towers),
      .network = component("unet", found.unet, source, ""),
      .codec = component("vae", vae, vae_source, "; name a file with one (--vae FILE)"),
      .schedule = NoiseScheduleConfig::from_json(
          JsonObject(found.scheduler, source->origin() + " (schedule of the family)"))};
  layout.traits.zero_absent_negative = found.family.zero_absent_negative;
  return layout;
}

}  // namespace tintype
