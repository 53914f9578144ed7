#include "cli/samplers_command.h"

#include <memory>

#include "cli/json_output.h"
#include "tintype/text_to_image.h"

namespace tintype::cli {
namespace {

void print_samplers(bool json) {
  if (json) {
    OrderedJson object;
    object["samplers"] = sampler_names();
    object["schedulers"] = scheduler_names();
    return print_json(object);
  }
  std::string text = "samplers (--sampler):";
  for (const std::string& name : sampler_names()) text += "\n  " + name;
  text += "\nschedulers (--scheduler):";
  for (const std::string& name : scheduler_names()) text += "\n  " + name;
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
