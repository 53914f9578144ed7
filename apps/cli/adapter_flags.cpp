#include "cli/adapter_flags.h"

#include <cctype>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cli/arguments.h"
#include "cli/parsed_flag.h"
#include "tintype/error.h"

namespace tintype::cli {
namespace {

constexpr const char* kFlag = "--lora";
constexpr double kMaxWeight = 100;

bool looks_like_number(const std::string& text) {
  return !text.empty() &&
         (std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '-' || text[0] == '.');
}

/// Takes ":0.8" off the end of `text`; false when it does not end so.
bool take_weight(std::string& text, float& weight) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return false;
  const std::string end = text.substr(colon + 1);
  if (!looks_like_number(end)) return false;
  weight = static_cast<float>(parse_number(kFlag, end, -kMaxWeight, kMaxWeight));
  text.erase(colon);
  return true;
}

}  // namespace

AdapterUse parse_adapter_use(const std::string& given) {
  AdapterUse use;
  std::string text = given;
  float text_weight = 1;
  if (take_weight(text, use.weight) && take_weight(text, text_weight))
    use.text_weight = text_weight;
  if (text.empty())
    throw Error(ErrorKind::kInvalidArgument, kFlag,
                "must be NAME_OR_FILE, with :WEIGHT or without, got \"" + given + "\"");
  std::error_code error;
  const bool file = text.ends_with(".safetensors") || text.starts_with("./") ||
                    text.starts_with("../") || text.starts_with("/") ||
                    std::filesystem::is_directory(text, error);
  if (file)
    use.file = text;
  else
    use.name = text;
  return use;
}

namespace {

void add_flags(CLI::App& command, std::vector<AdapterUse>& adapters, std::filesystem::path& folder,
               const std::string& help) {
  command
      .add_option_function<std::vector<std::string>>(
          kFlag,
          [&adapters](const std::vector<std::string>& all) {
            for (const std::string& text : all) adapters.push_back(parse_adapter_use(text));
          },
          help)
      ->type_name("NAME_OR_FILE:WEIGHT")
      ->expected(1)
      ->take_all();
  add_parsed(
      command, "--lora-dir", [&folder](const std::string& text) { folder = text; },
      "Folder in which the names of adapters are looked up", "FOLDER");
}

}  // namespace

void add_adapter_flags(CLI::App& command, TextToImageRequest& request) {
  add_flags(command, request.adapters, request.adapter_folder,
            "Adapter (LoRA, LoCon, LoHa, LoKr, DoRA) to add to the model, with its weight: a name "
            "in --lora-dir, a .safetensors file or a PEFT folder; again for more. "
            "<lora:NAME:WEIGHT> in the prompt does the same (default weight: 1)");
}

void add_merged_adapter_flags(CLI::App& command, LoadOptions& options) {
  add_flags(command, options.merged_adapters, options.adapter_folder,
            "Adapter (LoRA, LoCon, LoHa, LoKr, DoRA) to merge into the weights before they are "
            "packed, with its weight: a name in --lora-dir, a .safetensors file or a PEFT folder; "
            "again for more (default weight: 1)");
}

void merge_adapters(TextToImageRequest& request, LoadOptions& options) {
  if (request.adapters.empty())
    throw Error(ErrorKind::kInvalidArgument, "--merge",
                "must have adapters to merge, named by " + std::string(kFlag) + ", got none");
  options.merged_adapters = std::exchange(request.adapters, {});
  options.adapter_folder = request.adapter_folder;
}

}  // namespace tintype::cli
