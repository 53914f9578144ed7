#include "cli/samplers_command.h"

#include <memory>
#include <string>
#include <vector>

#include "cli/json_output.h"
#include "tintype/text_to_image.h"

namespace tintype::cli {
namespace {

std::string row(const SamplerName& entry) {
  std::string text = "\n  " + entry.name;
  text += std::string(entry.name.size() < 16 ? 16 - entry.name.size() : 1, ' ') + entry.label;
  for (const std::string& alias : entry.aliases) text += ", " + alias;
  return text;
}

OrderedJson aliases_of(const std::vector<SamplerName>& table) {
  OrderedJson object = OrderedJson::object();
  for (const SamplerName& entry : table) {
    object[entry.name] = OrderedJson::array({entry.label});
    for (const std::string& alias : entry.aliases) object[entry.name].push_back(alias);
  }
  return object;
}

void print_samplers(bool json) {
  if (json) {
    OrderedJson object;
    object["samplers"] = sampler_names();
    object["schedulers"] = scheduler_names();
    object["sampler_aliases"] = aliases_of(sampler_table());
    object["scheduler_aliases"] = aliases_of(scheduler_table());
    return print_json(object);
  }
  std::string text = "samplers (--sampler), and names that mean the same:";
  std::string fixed;
  for (const SamplerName& entry : sampler_table()) {
    text += row(entry);
    if (!entry.takes_scheduler) fixed += (fixed.empty() ? "" : ", ") + entry.name;
  }
  text += "\nschedulers (--scheduler):";
  for (const SamplerName& entry : scheduler_table()) text += row(entry);
  text += "\nOnly the checkpoint's own spacing, no scheduler: " + fixed;
  print_line(text);
}

}  // namespace

void add_samplers_command(CLI::App& app, std::function<void()>& run) {
  CLI::App* command = app.add_subcommand("samplers", "List the names of samplers and schedulers");
  const auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print one JSON object on stdout");
  command->callback([&run, json] { run = [json] { print_samplers(*json); }; });
}

}  // namespace tintype::cli
