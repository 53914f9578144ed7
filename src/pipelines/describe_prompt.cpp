#include <functional>
#include <optional>

#include "base/json.h"
#include "base/text.h"
#include "models/single_file.h"
#include "pipelines/packed_layout.h"
#include "prompts/adapter_tags.h"
#include "prompts/prompt_windows.h"
#include "prompts/token_names.h"
#include "tintype/prompt.h"
#include "weights/gguf.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxSteps = 1000;

/// How one text encoder reads.
struct Tower {
  ClipTokenizer tokenizer;
  TokenNames names;
  EmbeddingSlot slot;
  std::function<int64_t()> width;  ///< of its embeddings; reads what only embeddings need
};

/// The refiner of SDXL has only a second tower.
Tower tower_of_folder(const fs::path& model) {
  std::error_code status;
  const bool second =
      !fs::exists(model / "tokenizer", status) && fs::exists(model / "tokenizer_2", status);
  const fs::path tokenizer = model / (second ? "tokenizer_2" : "tokenizer");
  const fs::path config = model / (second ? "text_encoder_2" : "text_encoder") / "config.json";
  return {.tokenizer = ClipTokenizer::load(tokenizer),
          .names = TokenNames::load(tokenizer),
          .slot = second ? EmbeddingSlot::kSecond : EmbeddingSlot::kFirst,
          .width = [config] {
            const Json json = read_json_file(config, 1u << 20);
            return JsonObject(json, config.string()).integer("hidden_size", 1, 1 << 16);
          }};
}

Tower tower_of_file(const fs::path& file, const fs::path& tokenizer) {
  const auto source = open_weights_file(file);
  const SingleFileCheckpoint found = identify_single_file(*source);
  const TextTowerOptions& first = found.family.text_towers.front();
  const auto& encoder = found.text_encoders[first.projection ? 1 : 0];
  const Json config = encoder ? encoder->config : Json::object();
  const std::string origin = source->origin() + " (its text encoder)";
  const ClipTokenizer ours =
      tokenizer.empty() ? ClipTokenizer::openai() : ClipTokenizer::load(tokenizer);
  return {.tokenizer = first.quick_gelu ? ours : ours.with_pad_id(0),
          .names = tokenizer.empty() ? TokenNames::openai() : TokenNames::load(tokenizer),
          .slot = first.projection ? EmbeddingSlot::kSecond : EmbeddingSlot::kFirst,
          .width = [config, origin] {
            return JsonObject(config, origin).integer("hidden_size", 1, 1 << 16);
          }};
}

Tower tower_of_packed(const fs::path& file) {
  const CheckpointLayout layout = read_packed_layout(file);
  const CheckpointLayout::TextTower& first = layout.text_towers.front();
  const bool projected = first.encoder.class_name == "CLIPTextModelWithProjection";
  return {.tokenizer = first.tokenizer,
          .names = TokenNames(first.tokenizer.files()),
          .slot = projected ? EmbeddingSlot::kSecond : EmbeddingSlot::kFirst,
          .width = [config = first.encoder.config, origin = first.encoder.config_origin] {
            return JsonObject(config, origin).integer("hidden_size", 1, 1 << 16);
          }};
}

Tower find_tower(const fs::path& model, const fs::path& tokenizer) {
  std::error_code status;
  if (!fs::exists(model, status))
    fail(ErrorKind::kNotFound, printable(model.string()), "a model must exist here, found nothing");
  const bool folder = fs::is_directory(model, status), packed = !folder && is_packed_file(model);
  if (!folder && !packed) return tower_of_file(model, tokenizer);
  TT_REQUIRE(tokenizer.empty(), "tokenizer", "is for checkpoints in one file, this one is a ",
             folder ? "folder" : "packed model", ", which holds its own");
  if (packed) return tower_of_packed(model);
  return tower_of_folder(model);
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
  TaggedPrompt tagged = take_adapter_tags(prompt);
  const Tower tower = find_tower(model, options.tokenizer);
  std::optional<EmbeddingRegistry> embeddings;
  if (!options.embeddings.empty()) {
    embeddings.emplace(EmbeddingRegistry::Options{.width = tower.width(), .slot = tower.slot});
    embeddings->add(options.embeddings);
  }

  const PromptSchedule schedule = parse_prompt(tagged.text, syntax, options.steps);
  PromptDescription out{.syntax = options.syntax,
                        .steps = options.steps,
                        .schedule = {},
                        .prompts = {},
                        .skipped_embeddings = {},
                        .adapters = {}};
  for (AdapterTag& tag : tagged.tags)
    out.adapters.push_back(
        {.name = std::move(tag.name), .weight = tag.weight, .text_weight = tag.text_weight});
  if (embeddings) out.skipped_embeddings = embeddings->skipped();
  const EmbeddingRegistry* registry = embeddings ? &*embeddings : nullptr;
  for (const PromptSchedule::Variant& variant : schedule.variants) {
    const PromptWindows windows = make_windows(
        tower.tokenizer, variant.fragments,
        {.syntax = syntax, .comma_backtrack = options.comma_backtrack, .embeddings = registry});
    out.prompts.push_back(describe(windows, tower.names, registry));
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
