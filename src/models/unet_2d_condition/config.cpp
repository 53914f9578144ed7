#include "models/unet_2d_condition/config.h"

#include "base/text.h"
#include "models/config_checks.h"

namespace tintype {
namespace {

/// Which of the blocks listed under `key` have cross-attention.
std::vector<bool> attention_blocks(const JsonObject& json, std::string_view key,
                                   std::string_view plain, std::string_view attention,
                                   const std::vector<std::string>& fallback, size_t levels) {
  const std::vector<std::string> names = json.has(key) ? json.texts(key) : fallback;
  if (names.size() != levels)
    fail(ErrorKind::kCorruptFile, json.origin(), key, " must have one entry for each of ", levels,
         " block_out_channels, got ", names.size());
  std::vector<bool> result;
  for (const std::string& name : names) {
    if (name != plain && name != attention)
      fail(ErrorKind::kUnsupported, json.origin(), key, " must list ", plain, " and ", attention,
           " only, got \"", printable(name), "\"");
    result.push_back(name == attention);
  }
  return result;
}

/// Options of the reference that no Stable Diffusion checkpoint uses.
void require_known_options(const JsonObject& json) {
  for (const char* key :
       {"class_embed_type", "num_class_embeds", "addition_embed_type", "encoder_hid_dim",
        "encoder_hid_dim_type", "num_attention_heads", "time_embedding_act_fn",
        "timestep_post_act", "time_cond_proj_dim", "cross_attention_norm",
        "reverse_transformer_layers_per_block"})
    require_only(json, key, nullptr);
  for (const char* key :
       {"center_input_sample", "only_cross_attention", "dual_cross_attention", "resnet_skip_time_act",
        "class_embeddings_concat", "mid_block_only_cross_attention"})
    require_only(json, key, false);
  require_only(json, "resnet_time_scale_shift", "default");
  require_only(json, "time_embedding_type", "positional");
  require_only(json, "attention_type", "default");
  if (json.number("mid_block_scale_factor", -1e6, 1e6, 1.0) != 1.0 ||
      json.number("resnet_out_scale_factor", -1e6, 1e6, 1.0) != 1.0)
    fail(ErrorKind::kUnsupported, json.origin(),
         "mid_block_scale_factor and resnet_out_scale_factor are supported as 1 only");
}

}  // namespace

Unet2dConditionConfig Unet2dConditionConfig::from_json(const JsonObject& json) {
  require_known_options(json);
  Unet2dConditionConfig c;
  c.in_channels = json.integer("in_channels", 1, 1024, 4);
  c.out_channels = json.integer("out_channels", 1, 1024, 4);
  const auto sample = size_pair(json, "sample_size", 64);
  c.sample_height = sample[0];
  c.sample_width = sample[1];
  c.flip_sin_to_cos = json.boolean("flip_sin_to_cos", true);
  c.freq_shift = json.number("freq_shift", -1000, 1000, 0);
  c.norm_num_groups = static_cast<int>(json.integer("norm_num_groups", 1, kMaxWidth, 32));
  c.norm_eps = static_cast<float>(json.number("norm_eps", 1e-12, 1.0, 1e-5));
  c.act_fn = parse_activation(json, "act_fn", "silu");
  c.conv_in_kernel = json.integer("conv_in_kernel", 1, 15, 3);
  c.conv_out_kernel = json.integer("conv_out_kernel", 1, 15, 3);
  c.downsample_padding = static_cast<int>(json.integer("downsample_padding", 0, 1, 1));
  // An explicit null means no mid block (as in distilled models); an absent key means the usual one.
  const Json& raw = json.json();
  c.has_mid_block = !raw.contains("mid_block_type") || !raw["mid_block_type"].is_null();
  if (c.has_mid_block && json.has("mid_block_type"))
    require_only(json, "mid_block_type", "UNetMidBlock2DCrossAttn");

  const std::vector<int64_t> channels =
      json.has("block_out_channels") ? json.integers("block_out_channels", 1, kMaxWidth, 10)
                                     : std::vector<int64_t>{320, 640, 1280, 1280};
  const size_t count = channels.size();
  if (count == 0)
    fail(ErrorKind::kCorruptFile, json.origin(), "block_out_channels must not be empty");
  if (channels[0] < 2 || static_cast<double>(channels[0] / 2) <= c.freq_shift)
    fail(ErrorKind::kCorruptFile, json.origin(), "block_out_channels must start with more than ",
         "2 * freq_shift channels for the timestep embedding, got ", channels[0]);
  c.time_embedding_dim = json.integer("time_embedding_dim", 1, kMaxWidth, 4 * channels[0]);
  const std::vector<bool> down = attention_blocks(
      json, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D",
      {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"},
      count);
  const std::vector<bool> up = attention_blocks(
      json, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D",
      {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"}, count);
  const auto resnets = per_level(json, "layers_per_block", count, 1, kMaxLayers, 2);
  const auto layers = per_level(json, "transformer_layers_per_block", count, 1, kMaxLayers, 1);
  // The reference's key says width but has always meant the number of heads (diffusers issue 2011).
  const auto heads = per_level(json, "attention_head_dim", count, 1, kMaxWidth, 8);
  const auto context = per_level(json, "cross_attention_dim", count, 1, kMaxWidth, 1280);
  for (size_t i = 0; i < count; ++i) {
    if (channels[i] % c.norm_num_groups != 0)
      fail(ErrorKind::kCorruptFile, json.origin(),
           "block_out_channels must be multiples of norm_num_groups ", c.norm_num_groups, ", got ",
           channels[i]);
    if (context[i] != context[0])
      fail(ErrorKind::kUnsupported, json.origin(),
           "cross_attention_dim must be the same on every level, got ", context[0], " and ",
           context[i]);
    if ((down[i] || up[count - 1 - i]) && heads[i] > channels[i])
      fail(ErrorKind::kCorruptFile, json.origin(), "attention_head_dim (the number of heads) must ",
           "be at most the level's ", channels[i], " channels, got ", heads[i]);
    c.levels.push_back({.channels = channels[i],
                        .down_attention = down[i],
                        .up_attention = up[count - 1 - i],
                        .resnets = resnets[i],
                        .transformer_layers = layers[i],
                        .heads = heads[i],
                        .cross_attention_dim = context[i]});
  }
  return c;
}

}  // namespace tintype
