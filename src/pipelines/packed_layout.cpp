#include "pipelines/packed_layout.h"

#include "base/text.h"
#include "models/precision.h"
#include "pipelines/request_adapters.h"
#include "tokenizers/clip_files_json.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

Component component(const PackedFile::Component& stored, const PackedFile& file) {
  return {.name = stored.name,
          .class_name = stored.class_name,
          .config_origin = file.origin() + " (" + stored.name + ")",
          .config = stored.config,
          .precision = {},
          .sink = nullptr,
          .open = [source = stored.source()] { return source; }};
}

/// The list under `key` of the description. throws kCorruptFile: none
const Json& list_of(const JsonObject& model, const char* key) {
  const auto list = model.json().find(key);
  if (list == model.json().end() || !list->is_array())
    fail(ErrorKind::kCorruptFile, model.origin(), key, " must be a list, got ",
         list == model.json().end() ? "nothing" : list->type_name());
  return *list;
}

/// What was merged into the weights before they were packed. throws kCorruptFile
std::vector<AdapterSetting> merged_adapters_of(const JsonObject& model) {
  std::vector<AdapterSetting> merged;
  if (!model.json().contains("merged_adapters")) return merged;
  for (const Json& entry : list_of(model, "merged_adapters")) {
    const JsonObject one(entry, model.origin() + " (merged_adapters)");
    const auto weight = [&](const char* key) {
      return static_cast<float>(one.number(key, -kMaxAdapterWeight, kMaxAdapterWeight));
    };
    merged.push_back({one.text("name"), weight("weight"), weight("text_weight")});
  }
  return merged;
}

std::string note_of(const JsonObject& model, const PackedFile& file) {
  std::string layouts;
  for (const std::string& name : file.layouts())
    layouts += (layouts.empty() ? "" : ", ") + printable(name, 80);
  std::string note =
      cat("profile ", printable(model.text("profile"), 80), ", weights as ", layouts);
  if (const std::string stored = model.text("note", ""); !stored.empty())
    note += "; " + printable(stored, 1000);
  return note;
}

/// Gives a component's weights to the file and stops when asked to.
class StoppableSink final : public PackedSink {
 public:
  StoppableSink(PackedSink& to, const RunContext& context) : to_(to), context_(context) {}
  void add(const PackedParts& parts) override {
    context_.check();
    to_.add(parts);
  }

 private:
  PackedSink& to_;
  const RunContext& context_;
};

}  // namespace

CheckpointLayout read_packed_layout(const fs::path& path) {
  const auto file = PackedFile::open(path);
  const JsonObject model(file->model(), file->origin());
  const auto components = file->components();
  const Json& tokenizers = list_of(model, "tokenizers");
  const size_t towers = tokenizers.size();
  if (towers < 1 || towers > 2 || components.size() != towers + 2)
    fail(ErrorKind::kCorruptFile, file->origin(), "must hold one or two text encoders with their ",
         "tokenizers, a network and an autoencoder, got ", components.size(), " parts and ", towers,
         " tokenizers");
  const auto schedule = model.json().find("schedule");
  if (schedule == model.json().end())
    fail(ErrorKind::kCorruptFile, file->origin(), "must hold a schedule, got none");
  CheckpointLayout layout{.name = path.stem().string(),
                          .kind = "packed",
                          .note = note_of(model, *file),
                          .traits = PipelineTraits::for_class(model.text("pipeline")),
                          .text_towers = {},
                          .network = component(components[towers], *file),
                          .codec = component(components[towers + 1], *file),
                          .schedule = NoiseScheduleConfig::from_json(
                              JsonObject(*schedule, file->origin() + " (schedule)")),
                          .schedule_json = *schedule,
                          .profile = model.text("profile"),
                          .packed = file,
                          .merged_adapters = merged_adapters_of(model)};
  layout.traits.zero_absent_negative =
      model.boolean("zero_absent_negative", layout.traits.zero_absent_negative);
  if (const auto map = model.json().find("latent_rgb"); map != model.json().end())
    layout.latent_rgb = *map;
  for (size_t i = 0; i < towers; ++i)
    layout.text_towers.push_back(
        {ClipTokenizer::from_files(clip_files_from_json(
             JsonObject(tokenizers[i], cat(file->origin(), " (tokenizer ", i + 1, ")")))),
         component(components[i], *file)});
  return layout;
}

uint64_t write_packed(const CheckpointLayout& given, const fs::path& file,
                      const RunContext& context) {
  TT_REQUIRE(!given.packed, "pack", "takes a folder or a single file, ", printable(given.name),
             " is packed already");
  PackedWriter writer(file);
  CheckpointLayout layout = given;
  Json tokenizers = Json::array();
  // The model is built in shapes alone, in the order in which the writer takes its parts: it checks
  // that all is there and fits, and every weight is packed, written and dropped on the way.
  const auto prepare = [&](Component& part) {
    part.sink = std::make_shared<StoppableSink>(
        writer.component(part.name, part.class_name, part.config), context);
  };
  for (CheckpointLayout::TextTower& tower : layout.text_towers) {
    prepare(tower.encoder);
    tokenizers.push_back(to_json(tower.tokenizer.files()));
  }
  prepare(layout.network);
  prepare(layout.codec);
  DiffusionModel::load(layout, Device::kMeta, context);
  Json description = {{"profile", layout.profile},
                      {"pipeline", layout.traits.class_name},
                      {"zero_absent_negative", layout.traits.zero_absent_negative},
                      {"schedule", layout.schedule_json},
                      {"tokenizers", std::move(tokenizers)},
                      {"source", layout.kind},
                      {"note", layout.note}};
  for (const AdapterSetting& one : layout.merged_adapters)
    description["merged_adapters"].push_back(
        {{"name", one.name}, {"weight", one.weight}, {"text_weight", one.text_weight}});
  if (layout.latent_rgb) description["latent_rgb"] = *layout.latent_rgb;
  return writer.finish(description);
}

}  // namespace tintype
