/// CLIP's text tower: token and position embeddings, causal pre-norm transformer, final LayerNorm,
/// and the projection of its pooled features where the checkpoint has one. Immutable after load.
/// paper  Radford et al. 2021, arXiv:2103.00020; reference: transformers CLIPTextModel,
///        CLIPTextModelWithProjection
#pragma once

#include <optional>
#include <vector>

#include "base/json.h"
#include "models/roles.h"
#include "nn/layers.h"

namespace tintype {

struct ClipTextConfig {
  int64_t vocab_size = 49408, hidden_size = 512, intermediate_size = 2048;
  int64_t num_hidden_layers = 12, num_attention_heads = 8, max_position_embeddings = 77;
  float layer_norm_eps = 1e-5f;
  Activation hidden_act = Activation::kQuickGelu;
  int64_t projection_dim = 512;  ///< of the pooled features
  int64_t eos_token_id = 49407;  ///< whose first position is pooled; 2 means the highest id's

  /// Absent keys take transformers' CLIPTextConfig defaults. throws kCorruptFile, kUnsupported
  static ClipTextConfig from_json(const JsonObject& json);
};

class ClipTextModel final : public TextEncoder {
 public:
  enum class Pooling { kNone, kProjected };
  /// Accepts names with and without the `text_model.` level.
  ClipTextModel(const WeightScope& w, const ClipTextConfig& config, Pooling pooling);

  const Traits& traits() const override { return traits_; }
  const std::vector<WeightSlot>& slots() const override { return slots_; }
  /// Traced: `embeddings`, `encoder.layers.N`, `final_layer_norm`.
  TextFeatures encode(const Tensor& ids, const TextOptions& options,
                      const nn::Trace* trace) const override;

 private:
  struct Layer;
  Tensor embed(const Tensor& ids, std::span<const TokenOverride> overrides) const;
  Tensor token_embeddings(const Tensor& ids, std::span<const TokenOverride> overrides) const;
  /// The features of each row at its end-of-text token, projected. `last` [B,S,E] is normalised.
  Tensor pool(const Tensor& last, const Tensor& ids, const nn::AdapterView* adapters) const;

  Traits traits_;
  std::vector<WeightSlot> slots_;
  int64_t eos_token_id_;
  nn::Embedding token_embedding_, position_embedding_;
  std::vector<Layer> layers_;
  nn::LayerNorm final_layer_norm_;
  std::optional<nn::Linear> text_projection_;
};

struct ClipTextModel::Layer {
  int heads;
  Activation hidden_act;
  nn::LayerNorm layer_norm1, layer_norm2;
  nn::Linear q_proj, k_proj, v_proj, out_proj, fc1, fc2;

  Layer(const WeightScope& w, const ClipTextConfig& config);
  /// x [B,S,E] -> [B,S,E]
  Tensor forward(const Tensor& x, const nn::AdapterView* adapters) const;
};

}  // namespace tintype
