#include <optional>

#include "base/json.h"
#include "base/text.h"
#include "prompts/prompt_windows.h"
#include "prompts/token_names.h"
#include "tintype/prompt.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxSteps = 1000;

/// Folder names of one tower: tokenizer and encoder.
struct Tower {
  fs::path tokenizer, encoder;
};

/// The refiner of SDXL has only a second tower.
Tower find_tower(const fs::path& model) {
  std::error_code status;
  if (!fs::exists(model, status))
    fail(ErrorKind::kNotFound, printable(model.string()),
         "a model folder must exist here, found nothing");
  if (!fs::is_directory(model, status))
    fail(ErrorKind::kUnsupported, printable(model.string()),
         "prompts are read with a model folder's tokenizer, got a single file");
  if (!fs::exists(model / "tokenizer", status) && fs::exists(model / "tokenizer_2", status))
    return {model / "tokenizer_2", model / "text_encoder_2"};
  return {model / "tokenizer", model / "text_encoder"};
}

EmbeddingRegistry read_embeddings(const Tower& tower, const fs::path& path) {
  const fs::path config = tower.encoder / "config.json";
  const Json json = read_json_file(config, 1u << 20);
  const int64_t width = JsonObject(json, config.string()).integer("hidden_size", 1, 1 << 16);
  const bool second = tower.encoder.filename() == "text_encoder_2";
  EmbeddingRegistry registry(
      {.width = width, .slot = second ? EmbeddingSlot::kSecond : EmbeddingSlot::kFirst});
  registry.add(path);
  return registry;
}

PromptTokens describe(const PromptWindows& windows, const TokenNames& names,
                      const EmbeddingRegistry* embeddings) {
  PromptTokens out;
  out.words = windows.words;
  out.truncated = windows.truncated;
  for (const PromptWindow& window : windows.windows) {
    PromptTokenWindow& shown = out.windows.emplace_back();
    const auto used = static_cast<size_t>(window.words) + 2;  // BOS and EOS
    for (size_t i = 0; i < used; ++i)
      shown.tokens.push_back({window.ids[i], names.of(window.ids[i]), window.weights[i]});
    shown.padding = static_cast<int>(window.ids.size() - used);
  }
  for (const EmbeddingPlacement& placement : windows.placements) {
    out.windows[static_cast<size_t>(placement.window)]
        .tokens.at(static_cast<size_t>(placement.position))
        .text = cat(printable(embeddings->embeddings()[placement.embedding].name), "[",
                    placement.vector, "]");
  }
  return out;
}

}  // namespace

PromptDescription describe_prompt(const fs::path& model, std::string_view prompt,
                                  const PromptOptions& options) {
  const PromptSyntax syntax = parse_prompt_syntax(options.syntax);
  TT_REQUIRE(options.steps >= 1 && options.steps <= kMaxSteps, "steps", "must be in 1..", kMaxSteps,
             ", got ", options.steps);
  TT_REQUIRE(options.comma_backtrack >= 0, "comma backtrack", "must not be negative, got ",
             options.comma_backtrack);
  TT_REQUIRE(prompt.size() <= kMaxPromptBytes, "prompt", "must have at most ", kMaxPromptBytes,
             " bytes, got ", prompt.size());
  const Tower tower = find_tower(model);
  const ClipTokenizer tokenizer = ClipTokenizer::load(tower.tokenizer);
  const TokenNames names = TokenNames::load(tower.tokenizer);
  std::optional<EmbeddingRegistry> embeddings;
  if (!options.embeddings.empty()) embeddings = read_embeddings(tower, options.embeddings);

  const PromptSchedule schedule = parse_prompt(prompt, syntax, options.steps);
  PromptDescription out{.syntax = options.syntax,
                        .steps = options.steps,
                        .schedule = {},
                        .prompts = {},
                        .skipped_embeddings = {}};
  if (embeddings) out.skipped_embeddings = embeddings->skipped();
  const EmbeddingRegistry* registry = embeddings ? &*embeddings : nullptr;
  for (const PromptSchedule::Variant& variant : schedule.variants) {
    const PromptWindows windows = make_windows(
        tokenizer, variant.fragments,
        {.syntax = syntax, .comma_backtrack = options.comma_backtrack, .embeddings = registry});
    out.prompts.push_back(describe(windows, names, registry));
    out.prompts.back().text = variant.text;
  }
  int first = 1;
  for (const PromptSchedule::Stretch& stretch : schedule.stretches) {
    out.schedule.push_back({first, stretch.until_step, static_cast<int>(stretch.variant)});
    first = stretch.until_step + 1;
  }
  return out;
}

}  // namespace tintype
