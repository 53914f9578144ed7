#include "cli/inspect_command.h"

#include <algorithm>
#include <array>
#include <memory>
#include <sstream>
#include <vector>

#include "cli/format.h"
#include "cli/load_flags.h"

namespace tintype::cli {
namespace {

using Row = std::array<std::string, 5>;

/// "859.1 M in 284 layers"
std::string layers_text(uint64_t parameters, uint64_t layers) {
  if (!layers) return "none";
  return format_count(parameters) + " in " + std::to_string(layers) +
         (layers == 1 ? " layer" : " layers");
}

/// Columns padded to their widest cell; numbers (columns 2 and 4) to the right.
std::string table_text(const std::vector<Row>& rows) {
  std::array<size_t, 5> width{};
  for (const Row& row : rows)
    for (size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  std::string out;
  for (const Row& row : rows) {
    std::string line = "  ";
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(width[i] - row[i].size(), ' ');
      line += (i == 2 || i == 4 ? padding + row[i] : row[i] + padding) + "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

/// As --lora takes them: the text encoders' weight, then the network's.
std::string merged_text(const ModelInfo& info) {
  if (info.merged_adapters.empty()) return {};
  std::ostringstream text;
  text << "  merged adapters ";
  for (const AdapterSetting& one : info.merged_adapters)
    text << " " << one.name << ":" << one.text_weight << ":" << one.weight;
  text << "\n";
  return text.str();
}

}  // namespace

std::string inspect_text(const ModelInfo& info) {
  std::vector<Row> rows = {{"component", "class", "parameters", "storage", "file size"}};
  uint64_t parameters = 0, file_bytes = 0;
  for (const ComponentInfo& part : info.components) {
    rows.push_back({part.name, part.architecture, format_count(part.parameters), part.storage,
                    format_bytes(part.file_bytes)});
    parameters += part.parameters;
    file_bytes += part.file_bytes;
  }
  rows.push_back({"total", "", format_count(parameters), "", format_bytes(file_bytes)});

  std::vector<Row> plan = {{"component", "profile", "8-bit weights", "as stored", "memory"}};
  for (const ComponentInfo& part : info.components)
    plan.push_back({part.name, part.profile, layers_text(part.int8_parameters, part.int8_layers),
                    layers_text(part.stored_parameters, part.stored_layers),
                    format_bytes(part.weight_bytes)});

  const std::string kind = info.kind == "folder"   ? ""
                           : info.kind == "packed" ? ", packed model"
                                                   : ", single file of " + info.kind;
  const std::string note = info.note.empty() ? "" : "  " + info.note + "\n";
  return info.name + ": " + info.pipeline + kind + "\n" + note + table_text(rows) +
         table_text(plan) + merged_text(info) + "  default size     " +
         std::to_string(info.default_width_px) + " x " + std::to_string(info.default_height_px) +
         ", sides in multiples of " + std::to_string(info.size_multiple_px) + "\n" +
         "  default sampler  " + (info.default_sampler.empty() ? "none" : info.default_sampler) +
         ", " + info.prediction_type + "\n" + "  memory           " +
         format_bytes(info.weight_bytes) + " weights, " + format_bytes(info.peak_bytes) +
         " in all while drawing the default size";
}

OrderedJson inspect_json(const ModelInfo& info) {
  OrderedJson object;
  object["name"] = info.name;
  object["kind"] = info.kind;
  object["note"] = info.note;
  object["pipeline"] = info.pipeline;
  object["components"] = OrderedJson::array();
  for (const ComponentInfo& part : info.components) {
    OrderedJson entry;
    entry["name"] = part.name;
    entry["architecture"] = part.architecture;
    entry["parameters"] = part.parameters;
    entry["storage"] = part.storage;
    entry["file_bytes"] = part.file_bytes;
    entry["profile"] = part.profile;
    entry["int8_layers"] = part.int8_layers;
    entry["int8_parameters"] = part.int8_parameters;
    entry["stored_layers"] = part.stored_layers;
    entry["stored_parameters"] = part.stored_parameters;
    entry["weight_bytes"] = part.weight_bytes;
    object["components"].push_back(entry);
  }
  object["default_width_px"] = info.default_width_px;
  object["default_height_px"] = info.default_height_px;
  object["size_multiple_px"] = info.size_multiple_px;
  object["default_sampler"] = info.default_sampler;
  object["prediction_type"] = info.prediction_type;
  object["profile"] = info.profile;
  for (const AdapterSetting& one : info.merged_adapters)
    object["merged_adapters"].push_back(
        {{"name", one.name}, {"weight", one.weight}, {"text_weight", one.text_weight}});
  object["weight_bytes"] = info.weight_bytes;
  object["peak_bytes"] = info.peak_bytes;
  return object;
}

void add_inspect_command(CLI::App& app, std::function<void()>& run) {
  struct Flags {
    std::string model;
    LoadOptions load;
    bool json = false;
  };
  const auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("inspect", "Say what a model is and how much memory it will need");
  command->add_option("MODEL", flags->model, kModelHelp)->required();
  add_load_flags(*command, flags->load);
  add_profile_flag(*command, flags->load);
  command->add_flag("--json", flags->json, "Print one JSON object on stdout");
  command->callback([&run, flags] {
    run = [flags] {
      const ModelInfo info = inspect(flags->model, flags->load);
      flags->json ? print_json(inspect_json(info)) : print_line(inspect_text(info));
    };
  });
}

}  // namespace tintype::cli
