// The catalogue's options as text: what a server hands to its workers.
#include "base/json.h"
#include "requests/catalogue.h"

namespace tintype {
namespace {

constexpr size_t kMaxModels = 10'000;

Json to_json(const LoadOptions& load) {
  Json json = Json::object();
  for (const auto& path : load.tokenizers) json["tokenizers"].push_back(path.string());
  const auto set = [&json](const char* key, const std::string& value) {
    if (!value.empty()) json[key] = value;
  };
  set("vae", load.vae.string());
  set("text_encoder", load.text_encoder.string());
  set("prediction_type", load.prediction_type);
  if (load.ema) json["ema"] = true;
  set("timestep_spacing", load.timestep_spacing);
  set("profile", load.profile);
  set("offload", load.offload);
  return json;
}

LoadOptions load_options_of(const JsonObject& json) {
  LoadOptions load;
  if (json.has("tokenizers"))
    for (std::string& path : json.texts("tokenizers"))
      load.tokenizers.emplace_back(std::move(path));
  load.vae = json.text("vae", "");
  load.text_encoder = json.text("text_encoder", "");
  load.prediction_type = json.text("prediction_type", "");
  load.ema = json.boolean("ema", false);
  load.timestep_spacing = json.text("timestep_spacing", "");
  load.profile = json.text("profile", "");
  load.offload = json.text("offload", "");
  return load;
}

const Json& member(const JsonObject& json, const char* key, const Json& fallback) {
  const auto found = json.json().find(key);
  return found == json.json().end() ? fallback : *found;
}

}  // namespace

std::string to_text(const CatalogueOptions& options) {
  Json json = {{"models", Json::array()}, {"load", to_json(options.load)}};
  for (const ModelEntry& entry : options.models)
    json["models"].push_back(
        {{"name", entry.name}, {"path", entry.path.string()}, {"load", to_json(entry.load)}});
  for (const auto& folder : options.model_folders) json["model_folders"].push_back(folder.string());
  json["adapter_folder"] = options.adapter_folder.string();
  json["upscaler_folder"] = options.upscaler_folder.string();
  json["embedding_folder"] = options.embedding_folder.string();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

CatalogueOptions parse_catalogue_options(std::string_view text) {
  constexpr const char* kOrigin = "catalogue";
  const Json parsed = parse_json(text, kOrigin), none = Json::object(), no_models = Json::array();
  const JsonObject json(parsed, kOrigin);
  CatalogueOptions options;
  options.load = load_options_of(JsonObject(member(json, "load", none), "catalogue.load"));
  const Json& models = member(json, "models", no_models);
  if (!models.is_array() || models.size() > kMaxModels)
    fail(ErrorKind::kCorruptFile, kOrigin, "models must be a list of at most ", kMaxModels);
  for (const Json& one : models) {
    const JsonObject model(one, "catalogue.models");
    options.models.push_back(
        {model.text("name", ""), model.text("path"),
         load_options_of(JsonObject(member(model, "load", none), "catalogue.models.load"))});
  }
  if (json.has("model_folders"))
    for (std::string& path : json.texts("model_folders", kMaxModels))
      options.model_folders.emplace_back(std::move(path));
  options.adapter_folder = json.text("adapter_folder", "");
  options.upscaler_folder = json.text("upscaler_folder", "");
  options.embedding_folder = json.text("embedding_folder", "");
  return options;
}

}  // namespace tintype
