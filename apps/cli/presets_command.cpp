#include "cli/presets_command.h"

#include <array>
#include <cstdio>
#include <memory>

#include "cli/json_output.h"
#include "tintype/presets.h"

namespace tintype::cli {
namespace {

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

/// "steps 10, sampler dpmpp_2m, ..."
std::string settings_text(const Preset& preset) {
  std::string text;
  const auto add = [&text](const char* name, const std::string& value) {
    if (!value.empty()) text += (text.empty() ? "" : ", ") + std::string(name) + " " + value;
  };
  add("steps", preset.steps ? std::to_string(*preset.steps) : "");
  add("sampler", preset.sampler);
  add("scheduler", preset.scheduler);
  add("guidance", preset.guidance_scale ? number_text(*preset.guidance_scale) : "");
  add("size x", preset.size_scale == 1 ? "" : number_text(preset.size_scale));
  add("profile", preset.profile);
  add("offload", preset.offload);
  add("timestep spacing", preset.timestep_spacing);
  return text;
}

OrderedJson preset_json(const Preset& preset) {
  OrderedJson object;
  object["name"] = preset.name;
  object["purpose"] = preset.purpose;
  if (preset.steps) object["steps"] = *preset.steps;
  const std::array<std::pair<const char*, const std::string*>, 5> texts = {
      {{"sampler", &preset.sampler},
       {"scheduler", &preset.scheduler},
       {"profile", &preset.profile},
       {"offload", &preset.offload},
       {"timestep_spacing", &preset.timestep_spacing}}};
  for (const auto& [key, value] : texts)
    if (!value->empty()) object[key] = *value;
  if (preset.guidance_scale) object["guidance_scale"] = *preset.guidance_scale;
  object["size_scale"] = preset.size_scale;
  return object;
}

void print_presets(bool json) {
  if (json) {
    OrderedJson object;
    object["presets"] = OrderedJson::array();
    for (const Preset& preset : preset_table()) object["presets"].push_back(preset_json(preset));
    return print_json(object);
  }
  std::string text =
      "presets (--preset); flags that are given win, what is not named is the model's own:";
  for (const Preset& preset : preset_table())
    text += "\n  " + preset.name + std::string(12 - std::min<size_t>(preset.name.size(), 11), ' ') +
            preset.purpose + "\n              " + settings_text(preset);
  print_line(text);
}

}  // namespace

void add_presets_command(CLI::App& app, std::function<void()>& run) {
  CLI::App* command = app.add_subcommand("presets", "List the presets and what each sets");
  const auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print one JSON object on stdout");
  command->callback([&run, json] { run = [json] { print_presets(*json); }; });
}

void add_preset_flag(CLI::App& command, std::string& preset) {
  std::string names;
  for (const Preset& entry : preset_table()) names += (names.empty() ? "" : ", ") + entry.name;
  command
      .add_option("--preset", preset,
                  names + ": sets what other flags leave open; see `tintype presets`")
      ->type_name("NAME");
}

}  // namespace tintype::cli
