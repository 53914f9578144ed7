#include "cli/tokens_command.h"

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "cli/arguments.h"
#include "cli/load_flags.h"

namespace tintype::cli {
namespace {

constexpr int kMaxSteps = 1000;

/// Control bytes would move the terminal's cursor; the JSON has them as they are.
std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    line += byte < 0x20 || byte == 0x7F ? ' ' : c;
  }
  return line;
}

/// 1.3 and not 1.2999999523162842, which is what a float holds of it.
double shortest(float value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.7g", static_cast<double>(value));
  return std::strtod(text, nullptr);
}

std::string steps_text(const PromptStretch& stretch) {
  const std::string first = std::to_string(stretch.first_step);
  return stretch.first_step == stretch.last_step
             ? "step " + first
             : "steps " + first + "-" + std::to_string(stretch.last_step);
}

std::string window_text(const PromptTokenWindow& window) {
  std::string text;
  for (size_t i = 0; i < window.tokens.size(); ++i) {
    const PromptToken& token = window.tokens[i];
    char numbers[64];
    std::snprintf(numbers, sizeof(numbers), "    %4zu  %6d  %7.4g  ", i, token.id,
                  static_cast<double>(token.weight));
    text += numbers + token.text + "\n";
  }
  return text + "          " + std::to_string(window.padding) + " padding\n";
}

}  // namespace

std::string tokens_text(const PromptDescription& description) {
  std::string text = "schedule (" + description.syntax + "):\n";
  for (const PromptStretch& stretch : description.schedule)
    text += "  " + steps_text(stretch) + ": text " + std::to_string(stretch.prompt + 1) + "\n";
  for (size_t i = 0; i < description.prompts.size(); ++i) {
    const PromptTokens& prompt = description.prompts[i];
    text += "text " + std::to_string(i + 1) + ": " + one_line(prompt.text) + "\n";
    text += "  " + std::to_string(prompt.words) + " words" +
            (prompt.truncated ? ", the rest does not fit and is left out" : "") + "\n";
    for (size_t w = 0; w < prompt.windows.size(); ++w) {
      text += "  window " + std::to_string(w + 1) + ": position, id, weight, token\n" +
              window_text(prompt.windows[w]);
    }
  }
  for (const AdapterUse& use : description.adapters) {
    const double own = shortest(use.weight),
                 of_text = shortest(use.text_weight.value_or(use.weight));
    char weights[80];
    std::snprintf(weights, sizeof(weights), own == of_text ? "%g" : "%g, text encoders %g", own,
                  of_text);
    text += "adapter: " + one_line(use.name) + ", weight " + weights + "\n";
  }
  for (const std::string& skipped : description.skipped_embeddings)
    text += "embedding left out: " + skipped + "\n";
  text.pop_back();
  return text;
}

OrderedJson tokens_json(const PromptDescription& description) {
  OrderedJson object;
  object["syntax"] = description.syntax;
  object["steps"] = description.steps;
  object["schedule"] = OrderedJson::array();
  for (const PromptStretch& stretch : description.schedule) {
    OrderedJson entry;
    entry["first_step"] = stretch.first_step;
    entry["last_step"] = stretch.last_step;
    entry["prompt"] = stretch.prompt;
    object["schedule"].push_back(entry);
  }
  object["prompts"] = OrderedJson::array();
  for (const PromptTokens& prompt : description.prompts) {
    OrderedJson entry;
    entry["text"] = prompt.text;
    entry["words"] = prompt.words;
    entry["truncated"] = prompt.truncated;
    entry["windows"] = OrderedJson::array();
    for (const PromptTokenWindow& window : prompt.windows) {
      OrderedJson shown;
      for (const char* key : {"ids", "weights", "tokens"}) shown[key] = OrderedJson::array();
      for (const PromptToken& token : window.tokens) {
        shown["ids"].push_back(token.id);
        shown["weights"].push_back(shortest(token.weight));
        shown["tokens"].push_back(token.text);
      }
      shown["padding"] = window.padding;
      entry["windows"].push_back(shown);
    }
    object["prompts"].push_back(entry);
  }
  object["adapters"] = OrderedJson::array();
  for (const AdapterUse& use : description.adapters)
    object["adapters"].push_back({{"name", use.name},
                                  {"weight", shortest(use.weight)},
                                  {"text_weight", shortest(use.text_weight.value_or(use.weight))}});
  object["skipped_embeddings"] = description.skipped_embeddings;
  return object;
}

void add_tokens_command(CLI::App& app, std::function<void()>& run) {
  struct Flags {
    std::string model, prompt;
    PromptOptions options;
    bool json = false;
  };
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand(
      "tokens", "Show how a model reads a prompt: windows, ids, weights, prompt editing");
  command->add_option("-m,--model", flags->model, kModelHelp)->required()->type_name("MODEL");
  command->add_option("-p,--prompt", flags->prompt, "The prompt; may be empty (\"\")")
      ->required()
      ->type_name("TEXT");
  command
      ->add_option("--syntax", flags->options.syntax,
                   "a1111, comfy, or plain (every character is text, as in diffusers)")
      ->type_name("NAME")
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--steps",
          [flags](const std::string& text) {
            flags->options.steps = parse_int("--steps", text, 1, kMaxSteps);
          },
          "Steps of the picture, for prompt editing (default: 20)")
      ->type_name("N");
  command
      ->add_option_function<std::string>(
          "--embeddings", [flags](const std::string& text) { flags->options.embeddings = text; },
          "Textual inversions: a safetensors file, or a folder of them")
      ->type_name("PATH");
  command
      ->add_option_function<std::string>(
          "--tokenizer", [flags](const std::string& text) { flags->options.tokenizer = text; },
          "Single files only: folder with vocab.json and merges.txt (default: CLIP's own)")
      ->type_name("FOLDER");
  command->add_flag("--json", flags->json, "Print one JSON object on stdout");
  command->callback([&run, flags] {
    run = [flags] {
      const PromptDescription description =
          describe_prompt(flags->model, flags->prompt, flags->options);
      flags->json ? print_json(tokens_json(description)) : print_line(tokens_text(description));
    };
  });
}

}  // namespace tintype::cli
