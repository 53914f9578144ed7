#include "http/lists_json.h"

#include <nlohmann/json.hpp>

#include "tintype/presets.h"
#include "tintype/text_to_image.h"

namespace tintype::http {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string text_of(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

OrderedJson list_of(OrderedJson data) {
  OrderedJson list;
  list["object"] = "list";
  list["data"] = std::move(data);
  return list;
}

OrderedJson names_of(const std::vector<std::string>& names) {
  OrderedJson data = OrderedJson::array();
  for (const std::string& name : names) data.push_back({{"name", name}});
  return list_of(std::move(data));
}

OrderedJson text_or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

/// What a request that names only the model would be drawn with: asked of the code that fills
/// requests in.
Json defaults_of(const CatalogueModel& model, const Catalogue& catalogue,
                 const RequestLimits& limits) {
  try {
    const Json least = {{"type", "txt2img"}, {"model", model.entry.name}, {"prompt", "a"}};
    return parse_json(make_job(least, catalogue, limits).request, "request");
  } catch (const Error&) {
    return Json::object();  // a model made for something else
  }
}

OrderedJson model_json(const CatalogueModel& model, const Json& defaults) {
  const ModelInfo& info = model.info;
  const auto of_request = [&](const char* name) {
    const auto found = defaults.find(name);
    return found == defaults.end() ? OrderedJson(nullptr) : OrderedJson(*found);
  };
  OrderedJson object;
  object["id"] = model.entry.name.empty() ? info.name : model.entry.name;
  object["object"] = "model";
  object["created"] = 0;
  object["owned_by"] = "tintype";
  object["architecture"] = info.pipeline;
  object["prediction_type"] = text_or_null(info.prediction_type);
  object["width"] = info.default_width_px;
  object["height"] = info.default_height_px;
  object["size_multiple"] = info.size_multiple_px;
  object["steps"] = of_request("steps");
  object["guidance_scale"] = of_request("guidance_scale");
  object["sampler"] = text_or_null(info.default_sampler);
  object["inpainting"] = info.pipeline.find("Inpaint") != std::string::npos;
  object["profile"] = info.profile;
  object["weight_bytes"] = info.weight_bytes;
  object["peak_bytes"] = info.peak_bytes;
  return object;
}

}  // namespace

std::string models_json(const Catalogue& catalogue, const RequestLimits& limits) {
  OrderedJson data = OrderedJson::array();
  for (const CatalogueModel& model : catalogue.models())
    data.push_back(model_json(model, defaults_of(model, catalogue, limits)));
  OrderedJson list = list_of(std::move(data));
  OrderedJson& most = list["limits"];
  most["max_steps"] = limits.max_steps;
  most["max_side"] = limits.max_side_px;
  most["max_pixels"] = limits.max_pixels;
  most["max_count"] = limits.max_count;
  most["max_adapters"] = limits.max_adapters;
  most["max_image_bytes"] = limits.max_image_bytes;
  most["max_priority"] = limits.max_priority;
  return text_of(list);
}

std::string adapters_json(const Catalogue& catalogue) {
  return text_of(names_of(catalogue.adapters()));
}

std::string upscalers_json(const Catalogue& catalogue) {
  return text_of(names_of(catalogue.upscalers()));
}

std::string samplers_json() {
  OrderedJson data = OrderedJson::array(), schedulers = OrderedJson::array();
  for (const SamplerName& entry : sampler_table())
    data.push_back(
        {{"name", entry.name}, {"label", entry.label}, {"takes_scheduler", entry.takes_scheduler}});
  for (const SamplerName& entry : scheduler_table())
    schedulers.push_back({{"name", entry.name}, {"label", entry.label}});
  OrderedJson list = list_of(std::move(data));
  list["schedulers"] = std::move(schedulers);
  return text_of(list);
}

std::string presets_json() {
  OrderedJson data = OrderedJson::array();
  for (const Preset& preset : preset_table()) {
    OrderedJson object;
    object["name"] = preset.name;
    object["purpose"] = preset.purpose;
    object["steps"] = preset.steps ? OrderedJson(*preset.steps) : OrderedJson(nullptr);
    object["sampler"] = text_or_null(preset.sampler);
    object["scheduler"] = text_or_null(preset.scheduler);
    object["guidance_scale"] =
        preset.guidance_scale ? OrderedJson(*preset.guidance_scale) : OrderedJson(nullptr);
    object["size_scale"] = preset.size_scale;
    object["profile"] = text_or_null(preset.profile);
    data.push_back(std::move(object));
  }
  return text_of(list_of(std::move(data)));
}

}  // namespace tintype::http
