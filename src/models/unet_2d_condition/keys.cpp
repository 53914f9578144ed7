#include "models/unet_2d_condition/keys.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

namespace tintype {
namespace {

/// n: entries of one resolution in input_blocks (its resnets and the downsampler) and as many in
/// output_blocks (one more resnet). input_blocks.0 is the first convolution.
constexpr std::array kRules = {
    KeyRule{"time_embed.0.{*}", "time_embedding.linear_1.{*}"},
    KeyRule{"time_embed.2.{*}", "time_embedding.linear_2.{*}"},
    KeyRule{"label_emb.0.0.{*}", "add_embedding.linear_1.{*}"},
    KeyRule{"label_emb.0.2.{*}", "add_embedding.linear_2.{*}"},
    KeyRule{"input_blocks.0.0.{*}", "conv_in.{*}"}, KeyRule{"out.0.{*}", "conv_norm_out.{*}"},
    KeyRule{"out.2.{*}", "conv_out.{*}"},

    KeyRule{"input_blocks.{i}.0.op.{*}", "down_blocks.{(i-1)/n}.downsamplers.0.conv.{*}"},
    KeyRule{"input_blocks.{i}.0.in_layers.0.{*}",
            "down_blocks.{(i-1)/n}.resnets.{(i-1)%n}.norm1.{*}"},
    KeyRule{"input_blocks.{i}.0.in_layers.2.{*}",
            "down_blocks.{(i-1)/n}.resnets.{(i-1)%n}.conv1.{*}"},
    KeyRule{"input_blocks.{i}.0.emb_layers.1.{*}",
            "down_blocks.{(i-1)/n}.resnets.{(i-1)%n}.time_emb_proj.{*}"},
    KeyRule{"input_blocks.{i}.0.out_layers.0.{*}",
            "down_blocks.{(i-1)/n}.resnets.{(i-1)%n}.norm2.{*}"},
    KeyRule{"input_blocks.{i}.0.out_layers.3.{*}",
            "down_blocks.{(i-1)/n}.resnets.{(i-1)%n}.conv2.{*}"},
    KeyRule{"input_blocks.{i}.0.skip_connection.{*}",
            "down_blocks.{(i-1)/n}.resnets.{(i-1)%n}.conv_shortcut.{*}"},
    KeyRule{"input_blocks.{i}.1.{*}", "down_blocks.{(i-1)/n}.attentions.{(i-1)%n}.{*}"},

    KeyRule{"middle_block.{i}.in_layers.0.{*}", "mid_block.resnets.{i/2}.norm1.{*}"},
    KeyRule{"middle_block.{i}.in_layers.2.{*}", "mid_block.resnets.{i/2}.conv1.{*}"},
    KeyRule{"middle_block.{i}.emb_layers.1.{*}", "mid_block.resnets.{i/2}.time_emb_proj.{*}"},
    KeyRule{"middle_block.{i}.out_layers.0.{*}", "mid_block.resnets.{i/2}.norm2.{*}"},
    KeyRule{"middle_block.{i}.out_layers.3.{*}", "mid_block.resnets.{i/2}.conv2.{*}"},
    KeyRule{"middle_block.1.{*}", "mid_block.attentions.0.{*}"},

    // The upsampler comes last in its entry: at 1 without attention before it, else at 2.
    KeyRule{"output_blocks.{i}.1.conv.{*}", "up_blocks.{i/n}.upsamplers.0.conv.{*}"},
    KeyRule{"output_blocks.{i}.2.conv.{*}", "up_blocks.{i/n}.upsamplers.0.conv.{*}"},
    KeyRule{"output_blocks.{i}.0.in_layers.0.{*}", "up_blocks.{i/n}.resnets.{i%n}.norm1.{*}"},
    KeyRule{"output_blocks.{i}.0.in_layers.2.{*}", "up_blocks.{i/n}.resnets.{i%n}.conv1.{*}"},
    KeyRule{"output_blocks.{i}.0.emb_layers.1.{*}",
            "up_blocks.{i/n}.resnets.{i%n}.time_emb_proj.{*}"},
    KeyRule{"output_blocks.{i}.0.out_layers.0.{*}", "up_blocks.{i/n}.resnets.{i%n}.norm2.{*}"},
    KeyRule{"output_blocks.{i}.0.out_layers.3.{*}", "up_blocks.{i/n}.resnets.{i%n}.conv2.{*}"},
    KeyRule{"output_blocks.{i}.0.skip_connection.{*}",
            "up_blocks.{i/n}.resnets.{i%n}.conv_shortcut.{*}"},
    KeyRule{"output_blocks.{i}.1.{*}", "up_blocks.{i/n}.attentions.{i%n}.{*}"}};

constexpr int64_t kHeadWidth = 64;
constexpr int64_t kAddedWidth = 256;

/// One resolution, finest first.
struct Level {
  int64_t channels = 0;
  int64_t down_depth = 0;  ///< transformer blocks of each attention; 0: none
  bool up_attention = false;
};

[[noreturn]] void fail_structure(const NamedShapes& names, std::string_view tensor,
                                 std::string_view why) {
  fail(ErrorKind::kUnsupported, names.source().origin(),
       "must be a UNet of the Stable Diffusion family, got ", names.prefix(), tensor, ": ", why);
}

/// Transformer blocks of the attention at `path`, 0 when there is none.
int64_t depth_at(const NamedShapes& names, const std::string& path) {
  return names.count(path + ".transformer_blocks.");
}

/// Entries of input_blocks that one resolution has; the same for all.
int64_t entries_per_level(const NamedShapes& names, int64_t entries) {
  int64_t per_level = 0, since = 0;
  for (int64_t i = 1; i < entries; ++i) {
    ++since;
    const std::string op = cat("input_blocks.", i, ".0.op.weight");
    if (!names.has(op)) continue;
    if (per_level != 0 && since != per_level)
      fail_structure(names, op, "resolutions with different numbers of layers are not supported");
    per_level = since;
    since = 0;
  }
  // The last resolution has no downsampler.
  if (per_level == 0) per_level = since + 1;
  if (since + 1 != per_level || per_level < 2)
    fail_structure(names, cat("input_blocks.", entries - 1, ".0"),
                   "resolutions with different numbers of layers are not supported");
  return per_level;
}

std::vector<Level> read_levels(const NamedShapes& names, int64_t per_level, int64_t entries) {
  std::vector<Level> levels(static_cast<size_t>(entries / per_level));
  for (size_t l = 0; l < levels.size(); ++l) {
    Level& level = levels[l];
    for (int64_t r = 0; r + 1 < per_level; ++r) {
      const std::string entry = cat("input_blocks.", 1 + static_cast<int64_t>(l) * per_level + r);
      const std::string conv = entry + ".0.in_layers.2.weight";
      const int64_t channels = names.extent(conv, 0, 4);
      const int64_t depth = depth_at(names, entry + ".1");
      if (r > 0 && (channels != level.channels || depth != level.down_depth))
        fail_structure(names, conv, "layers of one resolution differ in width or depth");
      level.channels = channels;
      level.down_depth = depth;
    }
    // output_blocks starts at the coarsest resolution.
    const int64_t up = static_cast<int64_t>(levels.size() - 1 - l) * per_level;
    level.up_attention = depth_at(names, cat("output_blocks.", up, ".1")) > 0;
  }
  return levels;
}

/// Width of the text features, and whether proj_in is linear, from the middle's attention, which
/// every member of the family has.
void describe_attention(const NamedShapes& names, Json& config) {
  config["cross_attention_dim"] =
      names.extent("middle_block.1.transformer_blocks.0.attn2.to_k.weight", 1, 2);
  const Shape* proj_in = names.find("middle_block.1.proj_in.weight");
  if (proj_in == nullptr)
    fail_structure(names, "middle_block.1", "the attention has no proj_in.weight");
  config["use_linear_projection"] = proj_in->rank() == 2;
}

void describe_added_embedding(const NamedShapes& names, const OriginalUnetOptions& options,
                              Json& config) {
  if (!names.any_below("label_emb.")) return;
  const int64_t width = names.extent("label_emb.0.0.weight", 1, 2);
  int64_t each = kAddedWidth;
  if (options.pooled_width) {
    const int64_t rest = width - *options.pooled_width;
    if (rest <= 0 || rest % options.added_numbers != 0)
      fail_structure(names, "label_emb.0.0.weight",
                     cat("its ", width, " inputs must be the ", *options.pooled_width,
                         " of the pooled text and ", options.added_numbers, " numbers"));
    each = rest / options.added_numbers;
  }
  config["addition_embed_type"] = "text_time";
  config["addition_time_embed_dim"] = each;
  config["projection_class_embeddings_input_dim"] = width;
}

/// Heads per level; levels without attention get what their width suggests.
void describe_heads(const NamedShapes& names, const std::vector<Level>& levels,
                    const OriginalUnetOptions& options, OriginalUnet& unet) {
  Json heads = Json::array();
  for (size_t l = 0; l < levels.size(); ++l) {
    const int64_t channels = levels[l].channels;
    const bool used = levels[l].down_depth > 0 || levels[l].up_attention || l + 1 == levels.size();
    const int64_t divisor = options.heads ? *options.heads : kHeadWidth;
    if (used && channels % divisor != 0) {
      unet.undecided = cat("the number of attention heads cannot be told from ", channels,
                           " channels in ", names.prefix(), "input_blocks: this family has ",
                           options.heads ? cat(divisor, " heads") : cat(divisor, "-wide heads"));
      return;
    }
    heads.push_back(options.heads ? divisor : std::max<int64_t>(1, channels / divisor));
  }
  unet.config["attention_head_dim"] = std::move(heads);  // diffusers' name for the number of heads
}

}  // namespace

std::string original_unet_path(std::string_view path, int64_t layers, bool up_attention) {
  struct Name {
    std::string_view diffusers, original;
  };
  static constexpr Name kWhole[] = {{"conv_in", "input_blocks.0.0"},
                                    {"conv_out", "out.2"},
                                    {"time_embedding.linear_1", "time_embed.0"},
                                    {"time_embedding.linear_2", "time_embed.2"},
                                    {"add_embedding.linear_1", "label_emb.0.0"},
                                    {"add_embedding.linear_2", "label_emb.0.2"}};
  static constexpr Name kResnet[] = {{"conv1", "in_layers.2"},
                                     {"conv2", "out_layers.3"},
                                     {"time_emb_proj", "emb_layers.1"},
                                     {"conv_shortcut", "skip_connection"}};
  for (const Name& name : kWhole)
    if (path == name.diffusers) return std::string(name.original);
  // "down_blocks.L.resnets.R.rest", "mid_block.resnets.R.rest"
  const auto next = [&path] {
    const size_t dot = std::min(path.find('.'), path.size());
    const std::string_view segment = path.substr(0, dot);
    path.remove_prefix(std::min(dot + 1, path.size()));
    return segment;
  };
  const auto number = [&next] {
    return static_cast<int64_t>(std::atoi(std::string(next()).c_str()));
  };
  const std::string_view side = next();
  if (side != "down_blocks" && side != "mid_block" && side != "up_blocks") return {};
  const int64_t level = side == "mid_block" ? 0 : number(), per_level = layers + 1;
  const std::string_view kind = next();
  const int64_t index = number();
  std::string rest(path);
  if (kind == "resnets")
    for (const Name& name : kResnet)
      if (rest == name.diffusers) rest = name.original;
  const int64_t place = kind == "attentions" ? 1 : 0;
  if (side == "mid_block") return cat("middle_block.", place ? 1 : 2 * index, ".", rest);
  if (side == "up_blocks" && kind == "upsamplers")
    return cat("output_blocks.", level * per_level + layers, ".", up_attention ? 2 : 1, ".", rest);
  if (side == "up_blocks")
    return cat("output_blocks.", level * per_level + index, ".", place, ".", rest);
  if (kind == "downsamplers") return cat("input_blocks.", level * per_level + per_level, ".0.op");
  return cat("input_blocks.", 1 + level * per_level + index, ".", place, ".", rest);
}

bool is_original_unet(const NamedShapes& names) {
  return names.has("input_blocks.0.0.weight") && names.has("time_embed.0.weight") &&
         names.any_below("output_blocks.0.0.");
}

OriginalUnet describe_original_unet(const NamedShapes& names, const OriginalUnetOptions& options) {
  const int64_t entries = names.count("input_blocks.");
  const int64_t per_level = entries_per_level(names, entries);
  const std::vector<Level> levels = read_levels(names, per_level, entries);
  const int64_t mid_depth = depth_at(names, "middle_block.1");
  if (mid_depth == 0)
    fail_structure(names, "middle_block",
                   "it lacks the attention middle_block.1, as in distilled "
                   "models such as SSD-1B, which are not supported");
  if (levels.back().down_depth != 0 && levels.back().down_depth != mid_depth)
    fail_structure(names, "middle_block.1", "the middle's depth differs from the last level's");

  OriginalUnet unet{
      .keys = {.prefix = names.prefix(), .rules = kRules}, .config = {}, .undecided = {}};
  unet.keys.variables = {{"n", per_level}};
  Json channels = Json::array(), down = Json::array(), up = Json::array(), depth = Json::array();
  for (size_t l = 0; l < levels.size(); ++l) {
    channels.push_back(levels[l].channels);
    down.push_back(levels[l].down_depth > 0 ? "CrossAttnDownBlock2D" : "DownBlock2D");
    up.insert(up.begin(), levels[l].up_attention ? "CrossAttnUpBlock2D" : "UpBlock2D");
    // The middle takes the last one's.
    depth.push_back(l + 1 == levels.size() ? mid_depth
                                           : std::max<int64_t>(1, levels[l].down_depth));
  }
  unet.config = {{"_class_name", "UNet2DConditionModel"},
                 {"in_channels", names.extent("input_blocks.0.0.weight", 1, 4)},
                 {"out_channels", names.extent("out.2.weight", 0, 4)},
                 {"sample_size", options.sample_size},
                 {"layers_per_block", per_level - 1},
                 {"block_out_channels", std::move(channels)},
                 {"down_block_types", std::move(down)},
                 {"up_block_types", std::move(up)},
                 {"mid_block_type", "UNetMidBlock2DCrossAttn"},
                 {"transformer_layers_per_block", std::move(depth)},
                 {"act_fn", "silu"},
                 {"norm_num_groups", 32},
                 {"norm_eps", 1e-5},
                 {"flip_sin_to_cos", true},
                 {"freq_shift", 0}};
  // A width of its own would need a key that no released config has; the reference derives it too.
  const int64_t time_width = names.extent("time_embed.0.weight", 0, 2);
  if (time_width != 4 * levels.front().channels) unet.config["time_embedding_dim"] = time_width;
  describe_attention(names, unet.config);
  describe_added_embedding(names, options, unet.config);
  describe_heads(names, levels, options, unet);
  return unet;
}

}  // namespace tintype
