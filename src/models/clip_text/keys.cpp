#include "models/clip_text/keys.h"

#include <array>

namespace tintype {
namespace {

/// In both tables the first kProjectionRules drop a projection that is not used, and `dropped` is a
/// layer that nobody needs.
constexpr size_t kProjectionRules = 2;
constexpr std::array kTransformersRules = {
    KeyRule{"text_projection.weight", ""}, KeyRule{"text_model.text_projection", ""},
    KeyRule{"text_model.encoder.layers.{dropped}.{*}", ""},
    KeyRule{"text_model.embeddings.position_ids", ""},  // 0..76
    KeyRule{"embeddings.position_ids", ""},
    KeyRule{"logit_scale", ""},  // of the contrastive training, as is the vision tower
    KeyRule{"vision_model.{*}", ""}, KeyRule{"visual_projection.weight", ""},
    // stable-diffusion.cpp's names for what came from OpenCLIP.
    KeyRule{"text_model.text_projection", "text_projection.weight", KeyTransform::kTranspose},
    KeyRule{"text_model.encoder.layers.{i}.self_attn.in_proj.{*}",
            "text_model.encoder.layers.{i}.self_attn.{qkv}_proj.{*}", KeyTransform::kRowThirds},
    KeyRule{"text_model.{*}", "text_model.{*}"},
    // Very old merges, and transformers since 5.6, lack the level.
    KeyRule{"embeddings.{*}", "text_model.embeddings.{*}"},
    KeyRule{"encoder.{*}", "text_model.encoder.{*}"},
    KeyRule{"final_layer_norm.{*}", "text_model.final_layer_norm.{*}"}};

constexpr std::array kOpenClipRules = {
    KeyRule{"text_projection", ""},
    KeyRule{"text_projection.weight", ""},
    KeyRule{"transformer.resblocks.{dropped}.{*}", ""},
    KeyRule{"logit_scale", ""},
    KeyRule{"logit_bias", ""},
    KeyRule{"attn_mask", ""},
    KeyRule{"visual.{*}", ""},
    KeyRule{"text_projection", "text_projection.weight", KeyTransform::kTranspose},
    KeyRule{"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    KeyRule{"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    KeyRule{"ln_final.{*}", "text_model.final_layer_norm.{*}"},
    KeyRule{"transformer.resblocks.{i}.ln_1.{*}", "text_model.encoder.layers.{i}.layer_norm1.{*}"},
    KeyRule{"transformer.resblocks.{i}.ln_2.{*}", "text_model.encoder.layers.{i}.layer_norm2.{*}"},
    KeyRule{"transformer.resblocks.{i}.mlp.c_fc.{*}", "text_model.encoder.layers.{i}.mlp.fc1.{*}"},
    KeyRule{"transformer.resblocks.{i}.mlp.c_proj.{*}",
            "text_model.encoder.layers.{i}.mlp.fc2.{*}"},
    KeyRule{"transformer.resblocks.{i}.attn.in_proj_weight",
            "text_model.encoder.layers.{i}.self_attn.{qkv}_proj.weight", KeyTransform::kRowThirds},
    KeyRule{"transformer.resblocks.{i}.attn.in_proj_bias",
            "text_model.encoder.layers.{i}.self_attn.{qkv}_proj.bias", KeyTransform::kRowThirds},
    KeyRule{"transformer.resblocks.{i}.attn.out_proj.{*}",
            "text_model.encoder.layers.{i}.self_attn.out_proj.{*}"}};

constexpr int64_t kHeadWidth = 64;        // of all of OpenAI's and OpenCLIP's towers
constexpr int64_t kOpenClipHLayers = 24;  // of ViT-H, the tower of SD 2.x
constexpr int64_t kNoLayer = 999'999;

/// The layer of an OpenCLIP tower that SD 2.x never runs, or kNoLayer. A complete tower brings its
/// projection; one written from a diffusers folder has neither that nor the last layer.
int64_t unused_layer(const NamedShapes& names, int64_t layers) {
  const bool complete = (names.has("text_projection") || names.has("text_model.text_projection")) &&
                        layers != kOpenClipHLayers - 1;
  return complete || layers == kOpenClipHLayers ? layers - 1 : kNoLayer;
}

struct Spelling {
  std::string tokens, positions, layers, wide;
};

Spelling spelling_of(const NamedShapes& names) {
  if (is_open_clip(names))
    return {"token_embedding.weight", "positional_embedding", "transformer.resblocks.",
            "transformer.resblocks.0.mlp.c_fc.weight"};
  const std::string level = names.any_below("text_model.") ? "text_model." : "";
  return {level + "embeddings.token_embedding.weight",
          level + "embeddings.position_embedding.weight", level + "encoder.layers.",
          level + "encoder.layers.0.mlp.fc1.weight"};
}

}  // namespace

bool is_open_clip(const NamedShapes& names) {
  return names.has("token_embedding.weight") && names.has("positional_embedding") &&
         names.any_below("transformer.resblocks.0.");
}

bool is_text_tower(const NamedShapes& names) {
  return is_open_clip(names) || names.has("text_model.embeddings.token_embedding.weight") ||
         (names.has("embeddings.token_embedding.weight") && names.any_below("encoder.layers.0."));
}

TextTower describe_text_tower(const NamedShapes& names, const TextTowerOptions& options) {
  const bool open_clip = is_open_clip(names);
  const Spelling spelling = spelling_of(names);
  const int64_t layers = names.count(spelling.layers);
  const int64_t dropped = options.penultimate_only ? unused_layer(names, layers) : kNoLayer;
  const int64_t width = names.extent(spelling.tokens, 1, 2);

  TextTower tower;
  tower.class_name = options.projection ? "CLIPTextModelWithProjection" : "CLIPTextModel";
  tower.config = {{"architectures", {tower.class_name}},
                  {"model_type", "clip_text_model"},
                  {"vocab_size", names.extent(spelling.tokens, 0, 2)},
                  {"max_position_embeddings", names.extent(spelling.positions, 0, 2)},
                  {"hidden_size", width},
                  {"intermediate_size", names.extent(spelling.wide, 0, 2)},
                  {"num_hidden_layers", dropped == kNoLayer ? layers : layers - 1},
                  {"hidden_act", options.quick_gelu ? "quick_gelu" : "gelu"},
                  {"layer_norm_eps", 1e-5},
                  {"eos_token_id", 2}};  // as the released configs: pool at the highest id
  if (width % kHeadWidth == 0) {
    tower.config["num_attention_heads"] = width / kHeadWidth;
  } else {
    tower.undecided =
        cat("the number of attention heads cannot be told from the width ", width, " of ",
            names.prefix(), spelling.tokens, ": CLIP's heads are ", kHeadWidth, " wide");
  }
  const auto rules = open_clip ? std::span<const KeyRule>(kOpenClipRules)
                               : std::span<const KeyRule>(kTransformersRules);
  tower.keys.prefix = names.prefix();
  tower.keys.rules = options.projection ? rules.subspan(kProjectionRules) : rules;
  tower.keys.variables = {{"dropped", dropped}};
  if (options.projection) {
    // OpenCLIP's raw matrix is [E, projection]; a linear layer's weight lies the other way.
    const std::string raw = open_clip ? "text_projection" : "text_model.text_projection";
    tower.config["projection_dim"] =
        names.has(raw) ? names.extent(raw, 1, 2) : names.extent("text_projection.weight", 0, 2);
  }
  return tower;
}

}  // namespace tintype
