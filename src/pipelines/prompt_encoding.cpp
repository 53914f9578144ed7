#include "pipelines/prompt_encoding.h"

#include <algorithm>
#include <map>

#include "caches/key_writer.h"
#include "ops/ops.h"
#include "prompts/prompt_syntax.h"
#include "prompts/prompt_weights.h"
#include "prompts/prompt_windows.h"

namespace tintype {
namespace {

using Fragments = std::vector<PromptFragment>;

constexpr const char* kNetwork = "unet";  // what adapters call the denoising network

Tensor window_ids(const std::vector<int32_t>& ids, int64_t windows, Device device) {
  const Shape shape{windows, static_cast<int64_t>(ids.size()) / windows};
  return ops::to_device(host_tensor(shape, std::span<const int32_t>(ids)), device);
}

/// What replaces token embeddings when these windows are the rows of the encoder's batch.
std::vector<TokenOverride> overrides_of(const PromptWindows& windows,
                                        const EmbeddingRegistry* embeddings) {
  std::vector<TokenOverride> overrides;
  for (const EmbeddingPlacement& placement : windows.placements)
    overrides.push_back({placement.window, placement.position,
                         embeddings->vector(placement.embedding, placement.vector)});
  return overrides;
}

/// Windows of one text through one tower: [1,W*S,E], pooled from the first window.
TextFeatures encode_windows(const DiffusionModel::TextTower& tower, const PromptWindows& windows,
                            const TextOptions& options, PromptSyntax syntax, Device device) {
  const int64_t count = static_cast<int64_t>(windows.windows.size());
  TextFeatures features =
      tower.encoder->encode(window_ids(windows.all_ids(), count, device), options);
  if (windows.weighted()) {
    const bool comfy = syntax == PromptSyntax::kComfy;
    Tensor empty;
    if (comfy)
      empty = tower.encoder
                  ->encode(window_ids(empty_window(tower.tokenizer).ids, 1, device),
                           {.skipped_layers = options.skipped_layers,
                            .final_layer_norm = options.final_layer_norm,
                            .adapters = options.adapters})
                  .hidden;
    features.hidden =
        apply_prompt_weights(features.hidden, windows.all_weights(),
                             comfy ? WeightRule::kAwayFromEmpty : WeightRule::kMeanRestore, empty);
  }
  features.hidden = join_windows(features.hidden);
  if (features.pooled.defined()) features.pooled = features.pooled.slice(0, 1);
  return features;
}

/// Everything that encode_windows looks at. Of the text its tokens, so that texts that mean the
/// same to the encoder are one; of textual inversions the numbers, since files change.
std::string cache_key(uint64_t model_id, size_t tower, const PromptWindows& windows,
                      const TextOptions& options, PromptSyntax syntax) {
  KeyWriter key;
  key.add(model_id).add(tower).add(options.skipped_layers).add(options.final_layer_norm);
  const std::vector<int32_t> ids = windows.all_ids();
  key.add(windows.windows.size()).add(std::span<const int32_t>(ids));
  const bool weighted = windows.weighted();
  key.add(weighted);
  if (weighted) {
    const std::vector<float> weights = windows.all_weights();
    key.add(syntax == PromptSyntax::kComfy).add(std::span<const float>(weights));
  }
  for (const TokenOverride& one : options.overrides)
    key.add(one.row).add(one.position).add(one.vector);
  return key.take();
}

uint64_t bytes_of(const TextFeatures& features) {
  return features.hidden.nbytes() + (features.pooled.defined() ? features.pooled.nbytes() : 0);
}

/// Joins a tower's features to those before it: along the width; pooled ones where a tower has
/// them.
void add_tower(TextFeatures& all, const TextFeatures& one) {
  all.hidden = all.hidden.defined() ? ops::concat_last(all.hidden, one.hidden) : one.hidden;
  if (one.pooled.defined() && !all.pooled.defined()) all.pooled = one.pooled;
}

Tensor zeros_like(const Tensor& x) {
  if (!x.defined()) return {};
  const std::vector<float> zeros(static_cast<size_t>(x.numel()), 0.0f);
  return ops::to_device(host_tensor(x.shape(), std::span<const float>(zeros)), x.device());
}

/// One row of what the network is told of sizes: `count` numbers, see
/// DiffusionModel::time_id_count.
std::vector<float> time_ids(const SizeConditioning& s, int64_t count, float score) {
  const std::vector<int> sizes = {s.original_height_px.value_or(0), s.original_width_px.value_or(0),
                                  s.crop_top_px, s.crop_left_px};
  std::vector<float> row(sizes.begin(), sizes.end());
  if (count == static_cast<int64_t>(row.size()) + 1) {
    row.push_back(score);
  } else {
    row.push_back(static_cast<float>(s.target_height_px.value_or(0)));
    row.push_back(static_cast<float>(s.target_width_px.value_or(0)));
  }
  return row;
}

/// The embeddings that the prompts may name, for each text tower; none when there are none.
std::vector<EmbeddingRegistry> read_embeddings(const DiffusionModel& model,
                                               const TextToImageSettings& settings,
                                               const std::vector<PromptSchedule>& prompts) {
  std::vector<EmbeddingRegistry> registries;
  if (settings.embeddings.empty()) return registries;
  std::vector<std::string_view> texts;
  for (const PromptSchedule& prompt : prompts)
    for (const PromptSchedule::Variant& variant : prompt.variants)
      for (const PromptFragment& fragment : variant.fragments) texts.push_back(fragment.text);
  const MentionedNames mentioned(texts);
  for (const DiffusionModel::TextTower& tower : model.text_towers) {
    const TextEncoder::Traits& traits = tower.encoder->traits();
    // Of the families with two towers, the second is the one that pools.
    EmbeddingRegistry& registry = registries.emplace_back(EmbeddingRegistry::Options{
        .width = traits.width,
        .slot = traits.pooled_width > 0 ? EmbeddingSlot::kSecond : EmbeddingSlot::kFirst,
        .mentioned = mentioned});
    registry.add(settings.embeddings);
  }
  return registries;
}

/// Texts that hold at the same steps: one for all text towers, or one for each of two.
struct PromptTexts {
  std::vector<const Fragments*> positive;
  std::vector<const Fragments*> negative;  ///< empty: none is encoded

  static const Fragments& of_tower(const std::vector<const Fragments*>& texts, size_t tower) {
    return *texts[std::min(tower, texts.size() - 1)];
  }
};

class TextsEncoder {
 public:
  /// `embeddings` is empty or has one entry for each text tower.
  TextsEncoder(const DiffusionModel& model, const TextToImageSettings& settings,
               const std::vector<EmbeddingRegistry>& embeddings, const AdapterSet& adapters)
      : model_(model),
        settings_(settings),
        embeddings_(embeddings),
        syntax_(parse_prompt_syntax(settings.prompt_syntax)),
        guided_(settings.guidance_scale > 1.0f),
        network_adapters_(adapter_view(adapters, kNetwork)),
        adapter_key_(text_key(adapters)) {
    for (const DiffusionModel::TextTower& tower : model.text_towers)
      tower_adapters_.push_back(adapter_view(adapters, tower.name));
  }

  bool truncated() const { return truncated_; }

  Conditioning encode(const PromptTexts& texts) {
    std::vector<PromptWindows> wanted, unwanted;  // of each tower
    for (size_t t = 0; t < model_.text_towers.size(); ++t) {
      wanted.push_back(windows_of(PromptTexts::of_tower(texts.positive, t), t));
      truncated_ |= wanted.back().truncated;
      if (!texts.negative.empty())
        unwanted.push_back(windows_of(PromptTexts::of_tower(texts.negative, t), t));
    }
    // Rows and towers are joined, so all must have the same length.
    size_t count = 1;
    for (const auto* all : {&wanted, &unwanted})
      for (const PromptWindows& windows : *all) count = std::max(count, windows.windows.size());
    TextFeatures positive, negative;
    for (size_t t = 0; t < model_.text_towers.size(); ++t) {
      // diffusers leaves the negative prompt's layers alone; A1111 and ComfyUI treat both alike.
      const int skip = syntax_ == PromptSyntax::kPlain ? 0 : settings_.clip_skip;
      if (!unwanted.empty()) add_tower(negative, encode(t, unwanted[t], count, skip));
      add_tower(positive, encode(t, wanted[t], count, settings_.clip_skip));
    }
    if (!guided_) return with_time_ids(positive);
    if (unwanted.empty()) negative = {zeros_like(positive.hidden), zeros_like(positive.pooled)};
    TextFeatures both{ops::concat_first(negative.hidden, positive.hidden)};
    if (positive.pooled.defined())
      both.pooled = ops::concat_first(negative.pooled, positive.pooled);
    return with_time_ids(both);
  }

 private:
  const EmbeddingRegistry* embeddings_of(size_t tower) const {
    return embeddings_.empty() ? nullptr : &embeddings_[tower];
  }

  PromptWindows windows_of(const Fragments& text, size_t tower) const {
    return make_windows(model_.text_towers[tower].tokenizer, text,
                        {.syntax = syntax_, .embeddings = embeddings_of(tower)});
  }

  /// `windows` with empty ones up to `count`, through a tower.
  TextFeatures encode(size_t tower, PromptWindows& windows, size_t count, int clip_skip) const {
    const DiffusionModel::TextTower& t = model_.text_towers[tower];
    pad_to_count(windows, count, t.tokenizer);
    const std::vector<TokenOverride> overrides = overrides_of(windows, embeddings_of(tower));
    const TextOptions options{.skipped_layers = model_.traits.skipped_text_layers + clip_skip,
                              .final_layer_norm = model_.traits.final_layer_norm,
                              .overrides = overrides,
                              .adapters = tower_adapters_[tower].get()};
    const auto encode = [&] { return encode_windows(t, windows, options, syntax_, model_.device); };
    if (!model_.caches) return encode();
    std::string key = cache_key(model_.id, tower, windows, options, syntax_) + adapter_key_;
    const uint64_t key_bytes = key.size();
    return *model_.caches->prompts.find_or_make(std::move(key), [&] {
      TextFeatures features = encode();
      const uint64_t bytes = bytes_of(features) + key_bytes;
      return std::pair(std::move(features), bytes);
    });
  }

  Conditioning with_time_ids(const TextFeatures& features) const {
    const int64_t count = model_.time_id_count();
    if (count == 0) return {.context = features.hidden, .adapters = network_adapters_};
    const SizeConditioning& size = settings_.size_conditioning;
    std::vector<float> ids;
    if (guided_) ids = time_ids(size, count, size.negative_aesthetic_score);
    for (const float id : time_ids(size, count, size.aesthetic_score)) ids.push_back(id);
    return {.context = features.hidden,
            .pooled = features.pooled,
            .time_ids = host_tensor(Shape{guided_ ? 2 : 1, count}, std::span<const float>(ids)),
            .adapters = network_adapters_};
  }

  const DiffusionModel& model_;
  const TextToImageSettings& settings_;
  const std::vector<EmbeddingRegistry>& embeddings_;
  PromptSyntax syntax_;
  bool guided_;
  bool truncated_ = false;
  std::shared_ptr<const nn::AdapterView> network_adapters_;
  std::vector<std::shared_ptr<const nn::AdapterView>> tower_adapters_;
  std::string adapter_key_;  ///< of the towers' adapters, in keys of the cache
};

}  // namespace

const Conditioning& PromptConditioning::at(int call, int calls) const {
  // Samplers that call the network more than once a step spread the steps over their calls.
  const size_t steps = of_step.size();
  const size_t step = static_cast<size_t>(call) * steps / static_cast<size_t>(std::max(calls, 1));
  return variants[of_step[std::min(step, steps - 1)]];
}

Conditioning for_batch(const Conditioning& conditioning, int64_t images) {
  if (images == 1) return conditioning;
  const auto repeated = [images](const Tensor& rows) {
    if (!rows.defined()) return rows;
    std::vector<int32_t> sources;
    for (int64_t i = 0; i < rows.dim(0) * images; ++i)
      sources.push_back(static_cast<int32_t>(i / images));
    const Shape shape{static_cast<int64_t>(sources.size())};
    return ops::embedding(rows.reshape(Shape{rows.dim(0), rows.numel() / rows.dim(0)}),
                          host_tensor(shape, std::span<const int32_t>(sources)))
        .reshape(rows.shape().with(0, shape[0]));
  };
  return {repeated(conditioning.context), repeated(conditioning.pooled),
          repeated(conditioning.time_ids), conditioning.adapters};
}

Conditioning side_by_side(std::span<const Conditioning> of_image) {
  const auto joined = [&](Tensor Conditioning::*rows) {
    std::vector<Tensor> all;
    if (!(of_image[0].*rows).defined()) return Tensor();
    for (int64_t row = 0; row < (of_image[0].*rows).dim(0); ++row)
      for (const Conditioning& one : of_image) all.push_back((one.*rows).slice(row, row + 1));
    return ops::concat_first(all);
  };
  Conditioning all{.context = joined(&Conditioning::context),
                   .pooled = joined(&Conditioning::pooled),
                   .time_ids = joined(&Conditioning::time_ids)};
  std::vector<const nn::AdapterView*> views;
  for (int64_t row = 0; row < of_image[0].context.dim(0); ++row)
    for (const Conditioning& one : of_image) views.push_back(one.adapters.get());
  all.adapters = nn::side_by_side(views);
  return all;
}

PromptConditioning encode_prompts(const DiffusionModel& model, const TextToImageSettings& s,
                                  const AdapterSet& adapters) {
  const PromptSyntax syntax = parse_prompt_syntax(s.prompt_syntax);
  const int steps = std::max(s.steps, 1);
  const bool encode_negative =
      s.guidance_scale > 1.0f && (s.negative_prompt || !model.traits.zero_absent_negative);
  std::vector<PromptSchedule> schedules;  // positive ones, then negative ones
  const auto parse = [&](const std::string& text, const std::string& of_second) {
    schedules.push_back(parse_prompt(text, syntax, steps));
    // A model with one tower, as the refiner, takes the first text.
    if (!of_second.empty() && model.text_towers.size() > 1)
      schedules.push_back(parse_prompt(of_second, syntax, steps));
  };
  parse(s.prompt, s.prompt_2);
  const size_t positives = schedules.size();
  if (encode_negative) parse(s.negative_prompt.value_or(""), s.negative_prompt_2);

  PromptConditioning result;
  const std::vector<EmbeddingRegistry> embeddings = read_embeddings(model, s, schedules);
  for (const EmbeddingRegistry& registry : embeddings)
    for (const std::string& reason : registry.skipped())
      result.skipped_embeddings.push_back(reason);
  TextsEncoder encoder(model, s, embeddings, adapters);
  std::map<std::vector<size_t>, size_t> known;
  for (int step = 0; step < steps; ++step) {
    std::vector<size_t> variants;
    PromptTexts texts;
    for (const PromptSchedule& schedule : schedules) {
      auto& side = variants.size() < positives ? texts.positive : texts.negative;
      variants.push_back(schedule.variant_at(step));
      side.push_back(&schedule.variants[variants.back()].fragments);
    }
    const auto [entry, fresh] = known.emplace(std::move(variants), result.variants.size());
    if (fresh) result.variants.push_back(encoder.encode(texts));
    result.of_step.push_back(entry->second);
  }
  result.truncated = encoder.truncated();
  return result;
}

}  // namespace tintype
