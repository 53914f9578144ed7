#include "models/unet_2d_condition/config.h"

#include <algorithm>

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
  for (const char* key : {"class_embed_type", "num_class_embeds", "encoder_hid_dim",
                          "encoder_hid_dim_type", "num_attention_heads", "time_embedding_act_fn",
                          "timestep_post_act", "time_cond_proj_dim", "cross_attention_norm"})
    require_only(json, key, nullptr);
  for (const char* key :
       {"center_input_sample", "only_cross_attention", "dual_cross_attention",
        "resnet_skip_time_act", "class_embeddings_concat", "mid_block_only_cross_attention"})
    require_only(json, key, false);
  require_only(json, "resnet_time_scale_shift", "default");
  require_only(json, "time_embedding_type", "positional");
  require_only(json, "attention_type", "default");
  if (json.number("mid_block_scale_factor", -1e6, 1e6, 1.0) != 1.0 ||
      json.number("resnet_out_scale_factor", -1e6, 1e6, 1.0) != 1.0)
    fail(ErrorKind::kUnsupported, json.origin(),
         "mid_block_scale_factor and resnet_out_scale_factor are supported as 1 only");
}

using Config = Unet2dConditionConfig;

Config::MidBlock mid_block_of(const JsonObject& json) {
  // An explicit null means no mid block (as in distilled models); an absent key means the usual
  // one.
  const Json& raw = json.json();
  if (raw.contains("mid_block_type") && raw["mid_block_type"].is_null())
    return Config::MidBlock::kNone;
  const std::string name = json.text("mid_block_type", "UNetMidBlock2DCrossAttn");
  if (name == "UNetMidBlock2DCrossAttn") return Config::MidBlock::kAttention;
  if (name == "UNetMidBlock2D") return Config::MidBlock::kResnet;
  fail(ErrorKind::kUnsupported, json.origin(),
       "mid_block_type must be UNetMidBlock2DCrossAttn, UNetMidBlock2D or null, got \"",
       printable(name), "\"");
}

/// The added conditioning of SDXL, or none.
void read_added_conditioning(const JsonObject& json, Config& c) {
  if (!json.has("addition_embed_type")) return;
  require_only(json, "addition_embed_type", "text_time");
  c.addition_time_embed_dim = json.integer("addition_time_embed_dim", 2, kMaxWidth);
  c.added_width = json.integer("projection_class_embeddings_input_dim", 1, kMaxWidth);
  if (static_cast<double>(c.addition_time_embed_dim / 2) <= c.freq_shift)
    fail(ErrorKind::kCorruptFile, json.origin(), "addition_time_embed_dim must be more than 2 * ",
         "freq_shift, got ", c.addition_time_embed_dim);
}

/// Transformer depths under `key`, one list a level, each with an entry for each of its resnets:
/// `key` holds one number, one for each level, or lists of them.
std::vector<std::vector<int64_t>> depths(const JsonObject& json, const char* key,
                                         const std::vector<int64_t>& resnets) {
  const size_t count = resnets.size();
  std::vector<std::vector<int64_t>> result;
  if (!json.has(key) || !json.json()[key].is_array()) {
    const int64_t depth = json.integer(key, 0, kMaxLayers, 1);
    for (const int64_t n : resnets) result.emplace_back(static_cast<size_t>(n), depth);
    return result;
  }
  const Json& levels = json.json()[key];
  if (levels.size() != count)
    fail(ErrorKind::kCorruptFile, json.origin(), key, " must have one entry for each of ", count,
         " levels, got ", levels.size());
  for (size_t i = 0; i < count; ++i) {
    const Json entry = {{key, levels[i]}};
    std::vector<int64_t> level = JsonObject(entry, json.origin()).integers(key, 0, kMaxLayers);
    if (!levels[i].is_array()) level.assign(static_cast<size_t>(resnets[i]), level.at(0));
    if (level.size() != static_cast<size_t>(resnets[i]))
      fail(ErrorKind::kCorruptFile, json.origin(), key, "[", i,
           "] must have one entry for each of ", resnets[i], " resnets, got ", level.size());
    result.push_back(std::move(level));
  }
  return result;
}

bool has_nested_list(const JsonObject& json, const char* key) {
  if (!json.has(key) || !json.json()[key].is_array()) return false;
  for (const Json& entry : json.json()[key])
    if (entry.is_array()) return true;
  return false;
}

/// Fills in the transformers' depths of levels whose resnets are known. Only a UNet that is not
/// symmetric lists those of the up blocks, coarsest first.
void read_depths(const JsonObject& json, std::vector<Config::Level>& levels) {
  constexpr const char* kDown = "transformer_layers_per_block";
  constexpr const char* kUp = "reverse_transformer_layers_per_block";
  std::vector<int64_t> resnets;
  for (const Config::Level& level : levels) resnets.push_back(level.resnets);
  const auto down = depths(json, kDown, resnets);
  if (!json.has(kUp) && has_nested_list(json, kDown))
    fail(ErrorKind::kCorruptFile, json.origin(), kUp, " must be given where ", kDown,
         " holds lists, got nothing");
  std::vector<std::vector<int64_t>> up;
  if (json.has(kUp)) {
    std::vector<int64_t> reversed(resnets.rbegin(), resnets.rend());
    for (int64_t& n : reversed) ++n;
    up = depths(json, kUp, reversed);
    std::reverse(up.begin(), up.end());
  }
  for (size_t i = 0; i < levels.size(); ++i) {
    levels[i].down_layers = down[i];
    levels[i].mid_layers = down[i].at(0);
    levels[i].up_layers =
        up.empty() ? std::vector<int64_t>(down[i].size() + 1, down[i].at(0)) : up[i];
  }
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
  c.mid_block = mid_block_of(json);
  read_added_conditioning(json, c);
  const std::vector<int64_t> channels = json.has("block_out_channels")
                                            ? json.integers("block_out_channels", 1, kMaxWidth, 10)
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
                        .down_layers = {},
                        .up_layers = {},
                        .heads = heads[i],
                        .cross_attention_dim = context[i]});
  }
  read_depths(json, c.levels);
  return c;
}

}  // namespace tintype
