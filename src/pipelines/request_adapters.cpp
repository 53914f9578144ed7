#include "pipelines/request_adapters.h"

#include <cmath>

#include "adapters/adapter_merge.h"
#include "base/check.h"
#include "base/text.h"
#include "prompts/adapter_tags.h"

namespace tintype {
namespace {

constexpr size_t kMaxAdapters = 32;

void check_weight(float weight, const std::string& name) {
  TT_REQUIRE(std::isfinite(weight) && std::fabs(weight) <= kMaxAdapterWeight, "adapters",
             "the weight of \"", printable(name, 80), "\" must be a number in -", kMaxAdapterWeight,
             "..", kMaxAdapterWeight, ", got ", weight);
}

/// What a name or path of a caller's stands for.
struct Wanted {
  std::filesystem::path file;
  float weight, text_weight;
};

/// throws kInvalidArgument, and as find_adapter
std::vector<Wanted> wanted_adapters(const std::vector<AdapterUse>& uses,
                                    const std::filesystem::path& folder) {
  TT_REQUIRE(uses.size() <= kMaxAdapters, "adapters", "must be at most ", kMaxAdapters, ", got ",
             uses.size());
  std::vector<Wanted> wanted;
  for (const AdapterUse& use : uses) {
    const std::string shown = use.name.empty() ? use.file.string() : use.name;
    TT_REQUIRE(use.name.empty() != use.file.empty(), "adapters",
               "each must have a name or a file, got ", use.name.empty() ? "neither" : "both");
    TT_REQUIRE(use.name.empty() || !folder.empty(), "adapters", "the name \"", printable(shown, 80),
               "\" needs a folder of adapters to be looked up in, got none");
    const float text_weight = use.text_weight.value_or(use.weight);
    check_weight(use.weight, shown);
    check_weight(text_weight, shown);
    wanted.push_back(
        {use.name.empty() ? use.file : find_adapter(folder, use.name), use.weight, text_weight});
  }
  return wanted;
}

std::vector<AdapterTarget> targets_of(const DiffusionModel& model, const CheckpointLayout& layout) {
  std::vector<AdapterTarget> targets{{.component = layout.network.name,
                                      .slots = &model.network->slots(),
                                      .weights = layout.network.open}};
  for (size_t i = 0; i < model.text_towers.size(); ++i)
    targets.push_back({.component = model.text_towers[i].name,
                       .slots = &model.text_towers[i].encoder->slots(),
                       .weights = layout.text_towers[i].encoder.open});
  return targets;
}

}  // namespace

std::shared_ptr<AdapterRegistry> make_adapter_registry(const DiffusionModel& model,
                                                       const CheckpointLayout& layout,
                                                       size_t budget_bytes) {
  const std::vector<AdapterTarget> targets = targets_of(model, layout);
  const Device device = model.device;
  return std::make_shared<AdapterRegistry>(
      budget_bytes, [targets, device, budget_bytes](const std::filesystem::path& file) {
        return Adapter::match(read_adapter_file(file), targets, device, budget_bytes);
      });
}

MergedLayout with_merged_adapters(const CheckpointLayout& layout, const LoadOptions& options,
                                  size_t max_bytes) {
  MergedLayout merged{layout, layout};
  if (options.merged_adapters.empty()) return merged;
  TT_REQUIRE(!layout.packed, "merged_adapters", "need a model's weights as they were stored, ",
             printable(layout.name, 120),
             " is a packed model; use them beside its weights, or pack the checkpoint that it was "
             "packed from once more with them merged in");
  const DiffusionModel shapes = DiffusionModel::load(layout, Device::kMeta, RunContext());
  const std::vector<AdapterTarget> targets = targets_of(shapes, layout);
  const auto merge = std::make_shared<AdapterMerge>();
  std::vector<AdapterSetting> settings;
  for (const Wanted& one : wanted_adapters(options.merged_adapters, options.adapter_folder)) {
    const AdapterFile file = read_adapter_file(one.file);
    merge->add(file, targets, {one.weight, one.text_weight}, max_bytes);
    settings.push_back({file.name, one.weight, one.text_weight});
  }
  const auto apply = [&](CheckpointLayout& to, AdapterMerge::Numbers numbers) {
    const auto over = [&](Component& part) {
      part.open = [merge, numbers, name = part.name, open = part.open] {
        return merge->over(name, open(), numbers);
      };
    };
    over(to.network);
    for (CheckpointLayout::TextTower& tower : to.text_towers) over(tower.encoder);
    to.merged_adapters = settings;
  };
  apply(merged.layout, AdapterMerge::Numbers::kComputed);
  apply(merged.shapes, AdapterMerge::Numbers::kLeftOut);
  return merged;
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
  AdapterSet set;
  for (const Wanted& one : wanted_adapters(request.adapters, request.adapter_folder))
    set.push_back({registry.get(one.file), one.weight, one.text_weight});
  return set;
}

PictureAdapters picture_adapters_of(AdapterRegistry& registry, const TextToImageRequest& request) {
  const size_t lists = request.picture_adapters.size();
  if (lists == 0) return adapters_of(registry, request);
  TT_REQUIRE(lists == static_cast<size_t>(request.batch_size), "picture_adapters",
             "must be a list for each of the ", request.batch_size, " pictures, got ", lists);
  std::vector<AdapterSet> sets;
  for (const std::vector<AdapterUse>& own : request.picture_adapters) {
    TextToImageRequest alone{.adapters = request.adapters,
                             .adapter_folder = request.adapter_folder};
    alone.adapters.insert(alone.adapters.end(), own.begin(), own.end());
    sets.push_back(adapters_of(registry, alone));
  }
  return PictureAdapters(std::move(sets));
}

std::vector<AdapterSetting> adapter_settings(const AdapterSet& set) {
  std::vector<AdapterSetting> settings;
  for (const AdapterInUse& use : set)
    settings.push_back({use.adapter->name(), use.weight, use.text_weight});
  return settings;
}

}  // namespace tintype
