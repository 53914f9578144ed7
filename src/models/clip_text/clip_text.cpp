#include "models/clip_text/clip_text.h"

#include <algorithm>
#include <cmath>

#include "models/config_checks.h"

namespace tintype {
namespace {

WeightScope text_model(const WeightScope& w) {
  return w.has("text_model.final_layer_norm.weight") ? w / "text_model" : w;
}

}  // namespace

ClipTextConfig ClipTextConfig::from_json(const JsonObject& json) {
  ClipTextConfig c;
  c.vocab_size = json.integer("vocab_size", 1, 1 << 24, 49408);
  c.hidden_size = json.integer("hidden_size", 1, kMaxWidth, 512);
  c.intermediate_size = json.integer("intermediate_size", 1, kMaxWidth, 2048);
  c.num_hidden_layers = json.integer("num_hidden_layers", 0, kMaxLayers, 12);
  c.num_attention_heads = json.integer("num_attention_heads", 1, kMaxWidth, 8);
  c.max_position_embeddings = json.integer("max_position_embeddings", 1, 1 << 16, 77);
  c.layer_norm_eps = static_cast<float>(json.number("layer_norm_eps", 1e-12, 1.0, 1e-5));
  c.hidden_act = parse_activation(json, "hidden_act", "quick_gelu");
  c.projection_dim = json.integer("projection_dim", 0, kMaxWidth, 512);
  c.eos_token_id = json.integer("eos_token_id", -1, 1 << 24, 49407);
  if (c.hidden_size % c.num_attention_heads != 0)
    fail(ErrorKind::kCorruptFile, json.origin(), "hidden_size must be a multiple of ",
         "num_attention_heads, got ", c.hidden_size, " and ", c.num_attention_heads);
  return c;
}

ClipTextModel::Layer::Layer(const WeightScope& w, const ClipTextConfig& c)
    : heads(static_cast<int>(c.num_attention_heads)),
      hidden_act(c.hidden_act),
      layer_norm1(w / "layer_norm1", c.hidden_size, c.layer_norm_eps),
      layer_norm2(w / "layer_norm2", c.hidden_size, c.layer_norm_eps),
      q_proj(w / "self_attn" / "q_proj", c.hidden_size, c.hidden_size),
      k_proj(w / "self_attn" / "k_proj", c.hidden_size, c.hidden_size),
      v_proj(w / "self_attn" / "v_proj", c.hidden_size, c.hidden_size),
      out_proj(w / "self_attn" / "out_proj", c.hidden_size, c.hidden_size),
      fc1(w / "mlp" / "fc1", c.hidden_size, c.intermediate_size),
      fc2(w / "mlp" / "fc2", c.intermediate_size, c.hidden_size) {}

Tensor ClipTextModel::Layer::forward(const Tensor& x, const nn::AdapterView* adapters) const {
  const nn::Fused with{.adapters = adapters};
  const Tensor n = layer_norm1.forward(x, nn::input_format({&q_proj, &k_proj, &v_proj}, adapters));
  const float scale = 1.0f / std::sqrt(static_cast<float>(x.dim(-1) / heads));
  const Tensor mixed =
      ops::attention(q_proj.forward(n, with), k_proj.forward(n, with), v_proj.forward(n, with),
                     {.heads = heads, .scale = scale, .causal = true});
  const Tensor h = out_proj.forward(mixed, {.residual = &x, .adapters = adapters});
  const Tensor wide = fc1.forward(layer_norm2.forward(h, fc1.input_format(adapters)),
                                  {.activation = hidden_act, .adapters = adapters});
  return fc2.forward(wide, {.residual = &h, .adapters = adapters});
}

ClipTextModel::ClipTextModel(const WeightScope& w, const ClipTextConfig& c, Pooling pooling)
    : traits_{.window = c.max_position_embeddings,
              .vocabulary = c.vocab_size,
              .width = c.hidden_size,
              .layers = c.num_hidden_layers,
              .pooled_width = pooling == Pooling::kProjected ? c.projection_dim : 0},
      eos_token_id_(c.eos_token_id),
      token_embedding_(text_model(w) / "embeddings" / "token_embedding", c.vocab_size,
                       c.hidden_size),
      position_embedding_(text_model(w) / "embeddings" / "position_embedding",
                          c.max_position_embeddings, c.hidden_size),
      final_layer_norm_(text_model(w) / "final_layer_norm", c.hidden_size, c.layer_norm_eps) {
  for (int64_t i = 0; i < c.num_hidden_layers; ++i)
    layers_.emplace_back(text_model(w) / "encoder" / "layers" / i, c);
  if (pooling == Pooling::kProjected)
    text_projection_.emplace(w / "text_projection", c.hidden_size, c.projection_dim,
                             nn::Linear::Options{.bias = false});
  slots_ = w.slots();
}

Tensor ClipTextModel::token_embeddings(const Tensor& ids,
                                       std::span<const TokenOverride> overrides) const {
  if (overrides.empty()) return token_embedding_.forward(ids);
  const Tensor host_ids = ops::to_host(ids);
  const std::span<const int32_t> given = host_ids.span<int32_t>();
  std::vector<int32_t> known(given.begin(), given.end());
  const auto place_of = [&](const TokenOverride& o) {
    return static_cast<size_t>(o.row * ids.dim(1) + o.position);
  };
  for (const TokenOverride& o : overrides) {
    TT_REQUIRE(o.row >= 0 && o.row < ids.dim(0) && o.position >= 0 && o.position < ids.dim(1),
               "clip_text", "an override must lie in the ids ", ids.shape(), ", got row ", o.row,
               ", position ", o.position);
    TT_REQUIRE(static_cast<int64_t>(o.vector.size()) == traits_.width, "clip_text",
               "an override must have ", traits_.width, " numbers, got ", o.vector.size());
    known[place_of(o)] = 0;  // any id of the vocabulary: its row is written over
  }
  const Tensor looked_up = ops::to_host(
      token_embedding_.forward(host_tensor(ids.shape(), std::span<const int32_t>(known))));
  Tensor tokens = host_tensor(looked_up.shape(), looked_up.span<float>());
  for (const TokenOverride& o : overrides)
    std::copy(o.vector.begin(), o.vector.end(),
              tokens.mutable_span<float>().begin() +
                  static_cast<std::ptrdiff_t>(place_of(o) * o.vector.size()));
  return ops::to_device(tokens, ids.device());
}

Tensor ClipTextModel::embed(const Tensor& ids, std::span<const TokenOverride> overrides) const {
  std::vector<int32_t> positions(static_cast<size_t>(ids.numel()));
  for (size_t i = 0; i < positions.size(); ++i)
    positions[i] = static_cast<int32_t>(static_cast<int64_t>(i) % ids.dim(1));
  const Tensor tokens = token_embeddings(ids, overrides);
  const Tensor places =
      position_embedding_.forward(host_tensor(ids.shape(), std::span<const int32_t>(positions)));
  return ops::add(tokens, places);
}

Tensor ClipTextModel::pool(const Tensor& last, const Tensor& ids,
                           const nn::AdapterView* adapters) const {
  const Tensor host_ids = ops::to_host(ids);
  const std::span<const int32_t> all = host_ids.span<int32_t>();
  const int64_t batch = ids.dim(0), length = ids.dim(1);
  std::vector<int32_t> rows;
  for (int64_t b = 0; b < batch; ++b) {
    const auto row = all.subspan(static_cast<size_t>(b * length), static_cast<size_t>(length));
    // Configs written before transformers 4.32 name a wrong id, 2. The reference then takes the
    // first position of the highest id, which the end-of-text token has in CLIP's vocabulary.
    auto found = eos_token_id_ == 2
                     ? std::max_element(row.begin(), row.end())
                     : std::find(row.begin(), row.end(), static_cast<int32_t>(eos_token_id_));
    if (found == row.end()) found = row.begin();  // as the reference's argmax over no match
    rows.push_back(static_cast<int32_t>(b * length + (found - row.begin())));
  }
  const Tensor table = last.reshape(Shape{batch * length, traits_.width});
  return text_projection_->forward(
      ops::embedding(table, host_tensor(Shape{batch}, std::span<const int32_t>(rows))),
      {.adapters = adapters});
}

TextFeatures ClipTextModel::encode(const Tensor& ids, const TextOptions& options,
                                   const nn::Trace* trace) const {
  TT_REQUIRE(ids.rank() == 2 && ids.dim(1) >= 1 && ids.dim(1) <= traits_.window, "clip_text",
             "ids must be [B,S] with S in 1..", traits_.window, ", got ", ids.shape());
  TT_REQUIRE(options.skipped_layers >= 0 && options.skipped_layers <= traits_.layers, "clip_text",
             "skipped layers must be in 0..", traits_.layers, ", got ", options.skipped_layers);
  const size_t wanted = layers_.size() - static_cast<size_t>(options.skipped_layers);
  // Features that end early need the layers after them only for pooling.
  const size_t run = text_projection_ ? layers_.size() : wanted;
  Tensor h = embed(ids, options.overrides);
  nn::trace(trace, "embeddings", h);
  TextFeatures features{.hidden = h};
  for (size_t i = 0; i < run; ++i) {
    h = layers_[i].forward(h, options.adapters);
    nn::trace(trace, cat("encoder.layers.", i), h);
    if (i + 1 == wanted) features.hidden = h;
  }
  if (text_projection_) {
    const Tensor last = final_layer_norm_.forward(h);
    nn::trace(trace, "final_layer_norm", last);
    features.pooled = pool(last, ids, options.adapters);
  }
  if (options.final_layer_norm) {
    features.hidden = final_layer_norm_.forward(features.hidden);
    if (!text_projection_) nn::trace(trace, "final_layer_norm", features.hidden);
  }
  return features;
}

}  // namespace tintype
