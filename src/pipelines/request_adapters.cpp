#include "pipelines/request_adapters.h"

#include <cmath>

#include "base/check.h"
#include "base/text.h"
#include "prompts/adapter_tags.h"

namespace tintype {
namespace {

constexpr size_t kMaxAdapters = 32;
constexpr float kMaxWeight = 100;

void check_weight(float weight, const std::string& name) {
  TT_REQUIRE(std::isfinite(weight) && std::fabs(weight) <= kMaxWeight, "adapters",
             "the weight of \"", printable(name, 80), "\" must be a number in -", kMaxWeight, "..",
             kMaxWeight, ", got ", weight);
}

}  // namespace

std::shared_ptr<AdapterRegistry> make_adapter_registry(const DiffusionModel& model,
                                                       const CheckpointLayout& layout,
                                                       size_t budget_bytes) {
  std::vector<AdapterTarget> targets{{.component = layout.network.name,
                                      .slots = &model.network->slots(),
                                      .weights = layout.network.open}};
  for (size_t i = 0; i < model.text_towers.size(); ++i)
    targets.push_back({.component = model.text_towers[i].name,
                       .slots = &model.text_towers[i].encoder->slots(),
                       .weights = layout.text_towers[i].encoder.open});
  const Device device = model.device;
  return std::make_shared<AdapterRegistry>(
      budget_bytes, [targets, device, budget_bytes](const std::filesystem::path& file) {
        return Adapter::match(read_adapter_file(file), targets, device, budget_bytes);
      });
}

std::vector<AdapterUse> adapters_in_prompt(std::string_view prompt) {
  std::vector<AdapterUse> uses;
  for (AdapterTag& tag : take_adapter_tags(prompt).tags)
    uses.push_back(
        {.name = std::move(tag.name), .weight = tag.weight, .text_weight = tag.text_weight});
  return uses;
}

TextToImageRequest with_tagged_adapters(TextToImageRequest request) {
  std::vector<AdapterUse> tagged = adapters_in_prompt(request.prompt);
  if (tagged.empty()) return request;
  request.prompt = take_adapter_tags(request.prompt).text;
  for (AdapterUse& use : tagged) request.adapters.push_back(std::move(use));
  return request;
}

AdapterSet adapters_of(AdapterRegistry& registry, const TextToImageRequest& request) {
  TT_REQUIRE(request.adapters.size() <= kMaxAdapters, "adapters", "must be at most ", kMaxAdapters,
             ", got ", request.adapters.size());
  AdapterSet set;
  for (const AdapterUse& use : request.adapters) {
    const std::string shown = use.name.empty() ? use.file.string() : use.name;
    TT_REQUIRE(use.name.empty() != use.file.empty(), "adapters",
               "each must have a name or a file, got ", use.name.empty() ? "neither" : "both");
    TT_REQUIRE(use.name.empty() || !request.adapter_folder.empty(), "adapters", "the name \"",
               printable(shown, 80), "\" needs a folder of adapters to be looked up in, got none");
    check_weight(use.weight, shown);
    check_weight(use.text_weight.value_or(use.weight), shown);
    const std::filesystem::path file =
        use.name.empty() ? use.file : find_adapter(request.adapter_folder, use.name);
    set.push_back({registry.get(file), use.weight, use.text_weight.value_or(use.weight)});
  }
  return set;
}

std::vector<AdapterSetting> adapter_settings(const AdapterSet& set) {
  std::vector<AdapterSetting> settings;
  for (const AdapterInUse& use : set)
    settings.push_back({use.adapter->name(), use.weight, use.text_weight});
  return settings;
}

}  // namespace tintype
