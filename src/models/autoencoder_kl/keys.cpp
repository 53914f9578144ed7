#include "models/autoencoder_kl/keys.h"

#include <array>
#include <string>

namespace tintype {
namespace {

/// levels: resolutions. ldm counts the decoder's from the finest, diffusers in the order they run.
constexpr std::array kRules = {
    KeyRule{"encoder.norm_out.{*}", "encoder.conv_norm_out.{*}"},
    KeyRule{"encoder.down.{l}.downsample.conv.{*}",
            "encoder.down_blocks.{l}.downsamplers.0.conv.{*}"},
    KeyRule{"encoder.down.{l}.block.{b}.nin_shortcut.{*}",
            "encoder.down_blocks.{l}.resnets.{b}.conv_shortcut.{*}"},
    KeyRule{"encoder.down.{l}.block.{b}.{*}", "encoder.down_blocks.{l}.resnets.{b}.{*}"},
    KeyRule{"encoder.mid.block_1.{*}", "encoder.mid_block.resnets.0.{*}"},
    KeyRule{"encoder.mid.block_2.{*}", "encoder.mid_block.resnets.1.{*}"},
    KeyRule{"encoder.mid.attn_1.norm.{*}", "encoder.mid_block.attentions.0.group_norm.{*}"},
    KeyRule{"encoder.mid.attn_1.q.weight", "encoder.mid_block.attentions.0.to_q.weight",
            KeyTransform::kMatrix},
    KeyRule{"encoder.mid.attn_1.k.weight", "encoder.mid_block.attentions.0.to_k.weight",
            KeyTransform::kMatrix},
    KeyRule{"encoder.mid.attn_1.v.weight", "encoder.mid_block.attentions.0.to_v.weight",
            KeyTransform::kMatrix},
    KeyRule{"encoder.mid.attn_1.proj_out.weight", "encoder.mid_block.attentions.0.to_out.0.weight",
            KeyTransform::kMatrix},
    KeyRule{"encoder.mid.attn_1.q.bias", "encoder.mid_block.attentions.0.to_q.bias"},
    KeyRule{"encoder.mid.attn_1.k.bias", "encoder.mid_block.attentions.0.to_k.bias"},
    KeyRule{"encoder.mid.attn_1.v.bias", "encoder.mid_block.attentions.0.to_v.bias"},
    KeyRule{"encoder.mid.attn_1.proj_out.bias", "encoder.mid_block.attentions.0.to_out.0.bias"},

    KeyRule{"decoder.norm_out.{*}", "decoder.conv_norm_out.{*}"},
    KeyRule{"decoder.up.{l}.upsample.conv.{*}",
            "decoder.up_blocks.{levels-1-l}.upsamplers.0.conv.{*}"},
    KeyRule{"decoder.up.{l}.block.{b}.nin_shortcut.{*}",
            "decoder.up_blocks.{levels-1-l}.resnets.{b}.conv_shortcut.{*}"},
    KeyRule{"decoder.up.{l}.block.{b}.{*}", "decoder.up_blocks.{levels-1-l}.resnets.{b}.{*}"},
    KeyRule{"decoder.mid.block_1.{*}", "decoder.mid_block.resnets.0.{*}"},
    KeyRule{"decoder.mid.block_2.{*}", "decoder.mid_block.resnets.1.{*}"},
    KeyRule{"decoder.mid.attn_1.norm.{*}", "decoder.mid_block.attentions.0.group_norm.{*}"},
    KeyRule{"decoder.mid.attn_1.q.weight", "decoder.mid_block.attentions.0.to_q.weight",
            KeyTransform::kMatrix},
    KeyRule{"decoder.mid.attn_1.k.weight", "decoder.mid_block.attentions.0.to_k.weight",
            KeyTransform::kMatrix},
    KeyRule{"decoder.mid.attn_1.v.weight", "decoder.mid_block.attentions.0.to_v.weight",
            KeyTransform::kMatrix},
    KeyRule{"decoder.mid.attn_1.proj_out.weight", "decoder.mid_block.attentions.0.to_out.0.weight",
            KeyTransform::kMatrix},
    KeyRule{"decoder.mid.attn_1.q.bias", "decoder.mid_block.attentions.0.to_q.bias"},
    KeyRule{"decoder.mid.attn_1.k.bias", "decoder.mid_block.attentions.0.to_k.bias"},
    KeyRule{"decoder.mid.attn_1.v.bias", "decoder.mid_block.attentions.0.to_v.bias"},
    KeyRule{"decoder.mid.attn_1.proj_out.bias", "decoder.mid_block.attentions.0.to_out.0.bias"},

    // Spelled alike in both layouts.
    KeyRule{"encoder.conv_in.{*}", "encoder.conv_in.{*}"},
    KeyRule{"encoder.conv_out.{*}", "encoder.conv_out.{*}"},
    KeyRule{"decoder.conv_in.{*}", "decoder.conv_in.{*}"},
    KeyRule{"decoder.conv_out.{*}", "decoder.conv_out.{*}"},
    KeyRule{"quant_conv.{*}", "quant_conv.{*}"},
    KeyRule{"post_quant_conv.{*}", "post_quant_conv.{*}"},
    // Left by training: the discriminator, and averaged copies.
    KeyRule{"loss.{*}", ""}, KeyRule{"model_ema.{*}", ""}};

/// How the two layouts spell what the config is read from.
struct Spelling {
  std::string_view down, resnets, middle_attention;
};
constexpr Spelling kOriginal = {"encoder.down.", ".block.", "decoder.mid.attn_1."};
constexpr Spelling kDiffusers = {"encoder.down_blocks.", ".resnets.",
                                 "decoder.mid_block.attentions.0."};

}  // namespace

bool is_autoencoder(const NamedShapes& names) {
  return names.has("decoder.conv_in.weight") && names.has("decoder.conv_out.weight") &&
         (names.any_below("decoder.up.0.") || names.any_below("decoder.up_blocks.0."));
}

OriginalAutoencoder describe_autoencoder(const NamedShapes& names, double scaling_factor) {
  const bool original = names.any_below("decoder.up.0.");
  const Spelling& spelling = original ? kOriginal : kDiffusers;
  const int64_t levels = names.count(spelling.down);
  Json channels = Json::array();
  Json down = Json::array(), up = Json::array();
  for (int64_t l = 0; l < levels; ++l) {
    channels.push_back(
        names.extent(cat(spelling.down, l, spelling.resnets, "0.conv1.weight"), 0, 4));
    down.push_back("DownEncoderBlock2D");
    up.push_back("UpDecoderBlock2D");
  }
  OriginalAutoencoder vae;
  vae.config = {{"_class_name", "AutoencoderKL"},
                {"in_channels", names.extent("encoder.conv_in.weight", 1, 4)},
                {"out_channels", names.extent("decoder.conv_out.weight", 0, 4)},
                {"latent_channels", names.extent("decoder.conv_in.weight", 1, 4)},
                {"block_out_channels", std::move(channels)},
                {"layers_per_block", names.count(cat(spelling.down, 0, spelling.resnets))},
                {"down_block_types", std::move(down)},
                {"up_block_types", std::move(up)},
                {"act_fn", "silu"},
                {"norm_num_groups", 32},
                {"scaling_factor", scaling_factor},
                {"use_quant_conv", names.has("quant_conv.weight")},
                {"use_post_quant_conv", names.has("post_quant_conv.weight")},
                {"mid_block_add_attention", names.any_below(spelling.middle_attention)}};
  vae.keys.prefix = names.prefix();
  if (original) {
    vae.keys.rules = kRules;
    vae.keys.variables = {{"levels", levels}};
  }
  return vae;
}

}  // namespace tintype
