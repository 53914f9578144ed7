"""Writes the full list of names and shapes of each checkpoint layout, ours to map one onto the other.

For each layout two lists: `<layout>.original.keys`, as the released single files spell them, built
here from the structure of the ldm and sgm code (openaimodel.py, diffusionmodules/model.py, open_clip
transformer.py), and `<layout>.diffusers.keys`, from diffusers' and transformers' own classes. The
former is checked before it is written: diffusers' converters must turn it into the latter exactly.
Models are on torch's meta device; no weights are needed.

A list is an indented tree of name segments, one space a level; a tensor's line ends in its shape. In
diffusers' lists there follows which tensor of the original list it is (counted in the file's order):
every tensor is filled with its own number before diffusers' converters get it.

    usage: export_keys.py [--out tests/fixtures/keys]
"""

import argparse
from pathlib import Path

import common  # noqa: F401  (first: keeps diffusers offline and quiet)
import diffusers
import torch
import transformers
from diffusers.loaders import single_file_utils as converters

LAYOUTS = {
    "sd15": {
        "unet": {"cross_attention_dim": 768, "attention_head_dim": 8},
        "towers": [("hf", "cond_stage_model.transformer.", "text_encoder", 768, 12, 12)],
    },
    "sd21": {
        "unet": {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20],
                 "use_linear_projection": True},
        "towers": [("open_clip", "cond_stage_model.model.", "text_encoder", 1024, 24, 16)],
    },
    "sdxl": {
        "unet": {
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": [1, 2, 10], "attention_head_dim": [5, 10, 20],
            "cross_attention_dim": 2048, "use_linear_projection": True,
            "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        "towers": [("hf", "conditioner.embedders.0.transformer.", "text_encoder", 768, 12, 12),
                   ("open_clip", "conditioner.embedders.1.model.", "text_encoder_2", 1280, 32, 20)],
    },
    "sdxl-refiner": {
        "unet": {
            "block_out_channels": (384, 768, 1536, 1536),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                 "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
                               "UpBlock2D"),
            "transformer_layers_per_block": 4, "attention_head_dim": [6, 12, 24, 24],
            "cross_attention_dim": 1280, "use_linear_projection": True,
            "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2560,
        },
        "towers": [("open_clip", "conditioner.embedders.0.model.", "text_encoder_2", 1280, 32, 20)],
    },
}

VAE = {
    "block_out_channels": (128, 256, 512, 512), "latent_channels": 4, "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}

# What released files also hold and no network needs.
LEFTOVERS = {"alphas_cumprod": (1000,), "betas": (1000,), "sqrt_alphas_cumprod": (1000,),
             "log_one_minus_alphas_cumprod": (1000,), "posterior_variance": (1000,),
             "model_ema.decay": ()}


class Names(dict):
    """Names to shapes, filled layer by layer."""

    def put(self, name, weight, bias=None):
        self[name + ".weight"] = tuple(weight)
        if bias is not None:
            self[name + ".bias"] = (bias,)

    def norm(self, name, width):
        self.put(name, (width,), width)

    def linear(self, name, out, into, bias=True):
        self.put(name, (out, into), out if bias else None)

    def conv(self, name, out, into, kernel):
        self.put(name, (out, into, kernel, kernel), out)


def original_unet(config):
    """openaimodel.py: input_blocks, middle_block, output_blocks as flat lists."""
    names = Names()
    widths = config.get("block_out_channels", (320, 640, 1280, 1280))
    attentive = [kind.startswith("Cross") for kind in config.get(
        "down_block_types", ["Cross"] * 3 + ["Down"])]
    depths = config.get("transformer_layers_per_block", 1)
    depths = [depths] * len(widths) if isinstance(depths, int) else depths
    layers = config.get("layers_per_block", 2)
    context, linear = config["cross_attention_dim"], config.get("use_linear_projection", False)
    time = 4 * widths[0]

    def resnet(path, into, out):
        names.norm(path + ".in_layers.0", into)
        names.conv(path + ".in_layers.2", out, into, 3)
        names.linear(path + ".emb_layers.1", out, time)
        names.norm(path + ".out_layers.0", out)
        names.conv(path + ".out_layers.3", out, out, 3)
        if into != out:
            names.conv(path + ".skip_connection", out, into, 1)

    def transformer(path, width, depth):
        names.norm(path + ".norm", width)
        for side in ("proj_in", "proj_out"):
            (names.linear(f"{path}.{side}", width, width) if linear
             else names.conv(f"{path}.{side}", width, width, 1))
        for k in range(depth):
            block = f"{path}.transformer_blocks.{k}"
            for i in (1, 2, 3):
                names.norm(f"{block}.norm{i}", width)
            for attention, into in (("attn1", width), ("attn2", context)):
                names.linear(f"{block}.{attention}.to_q", width, width, bias=False)
                names.linear(f"{block}.{attention}.to_k", width, into, bias=False)
                names.linear(f"{block}.{attention}.to_v", width, into, bias=False)
                names.linear(f"{block}.{attention}.to_out.0", width, width)
            names.linear(f"{block}.ff.net.0.proj", 8 * width, width)
            names.linear(f"{block}.ff.net.2", width, 4 * width)

    names.linear("time_embed.0", time, widths[0])
    names.linear("time_embed.2", time, time)
    if config.get("projection_class_embeddings_input_dim"):
        names.linear("label_emb.0.0", time, config["projection_class_embeddings_input_dim"])
        names.linear("label_emb.0.2", time, time)
    names.conv("input_blocks.0.0", widths[0], config.get("in_channels", 4), 3)
    skips, width, entry = [widths[0]], widths[0], 1
    for level, out in enumerate(widths):
        for _ in range(layers):
            resnet(f"input_blocks.{entry}.0", width, out)
            if attentive[level]:
                transformer(f"input_blocks.{entry}.1", out, depths[level])
            width, entry = out, entry + 1
            skips.append(width)
        if level + 1 < len(widths):
            names.conv(f"input_blocks.{entry}.0.op", width, width, 3)
            entry += 1
            skips.append(width)
    resnet("middle_block.0", width, width)
    transformer("middle_block.1", width, depths[-1])
    resnet("middle_block.2", width, width)
    entry = 0
    for level in reversed(range(len(widths))):
        out = widths[level]
        for layer in range(layers + 1):
            resnet(f"output_blocks.{entry}.0", width + skips.pop(), out)
            width, place = out, 1
            if attentive[level]:
                transformer(f"output_blocks.{entry}.1", out, depths[level])
                place = 2
            if layer == layers and level > 0:
                names.conv(f"output_blocks.{entry}.{place}.conv", out, out, 3)
            entry += 1
    names.norm("out.0", width)
    names.conv("out.2", 4, width, 3)
    return names


def original_vae(config=VAE):
    """diffusionmodules/model.py: the decoder's levels are numbered from the finest."""
    names = Names()
    widths, layers = config["block_out_channels"], config["layers_per_block"]

    def resnet(path, into, out):
        names.norm(path + ".norm1", into)
        names.conv(path + ".conv1", out, into, 3)
        names.norm(path + ".norm2", out)
        names.conv(path + ".conv2", out, out, 3)
        if into != out:
            names.conv(path + ".nin_shortcut", out, into, 1)

    def middle(path, width):
        resnet(path + ".block_1", width, width)
        names.norm(path + ".attn_1.norm", width)
        for name in ("q", "k", "v", "proj_out"):
            names.conv(f"{path}.attn_1.{name}", width, width, 1)
        resnet(path + ".block_2", width, width)

    names.conv("encoder.conv_in", widths[0], 3, 3)
    width = widths[0]
    for level, out in enumerate(widths):
        for block in range(layers):
            resnet(f"encoder.down.{level}.block.{block}", width, out)
            width = out
        if level + 1 < len(widths):
            names.conv(f"encoder.down.{level}.downsample.conv", out, out, 3)
    middle("encoder.mid", width)
    names.norm("encoder.norm_out", width)
    names.conv("encoder.conv_out", 8, width, 3)
    names.conv("decoder.conv_in", width, 4, 3)
    middle("decoder.mid", width)
    for level in reversed(range(len(widths))):
        for block in range(layers + 1):
            resnet(f"decoder.up.{level}.block.{block}", width, widths[level])
            width = widths[level]
        if level > 0:
            names.conv(f"decoder.up.{level}.upsample.conv", width, width, 3)
    names.norm("decoder.norm_out", width)
    names.conv("decoder.conv_out", 3, width, 3)
    names.conv("quant_conv", 8, 8, 1)
    names.conv("post_quant_conv", 4, 4, 1)
    return names


def original_open_clip(config, layers):
    """open_clip's TextTransformer, all layers, with the projection as a raw matrix."""
    names = Names()
    width, inner = config.hidden_size, config.intermediate_size
    names["token_embedding.weight"] = (config.vocab_size, width)
    names["positional_embedding"] = (77, width)
    names["text_projection"] = (width, config.projection_dim)
    names["logit_scale"] = ()
    names.norm("ln_final", width)
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        names[block + ".attn.in_proj_weight"] = (3 * width, width)
        names[block + ".attn.in_proj_bias"] = (3 * width,)
        names.linear(block + ".attn.out_proj", width, width)
        names.norm(block + ".ln_1", width)
        names.norm(block + ".ln_2", width)
        names.linear(block + ".mlp.c_fc", inner, width)
        names.linear(block + ".mlp.c_proj", width, inner)
    return names


def original_hf(config):
    """transformers' names as the released files froze them, with the position numbers."""
    names = Names()
    width, inner = config.hidden_size, config.intermediate_size
    names["text_model.embeddings.token_embedding.weight"] = (config.vocab_size, width)
    names["text_model.embeddings.position_embedding.weight"] = (77, width)
    names["text_model.embeddings.position_ids"] = (1, 77)
    names.norm("text_model.final_layer_norm", width)
    for i in range(config.num_hidden_layers):
        block = f"text_model.encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            names.linear(f"{block}.self_attn.{name}", width, width)
        names.norm(block + ".layer_norm1", width)
        names.norm(block + ".layer_norm2", width)
        names.linear(block + ".mlp.fc1", inner, width)
        names.linear(block + ".mlp.fc2", width, inner)
    return names


def shapes(model):
    return {name: tuple(value.shape) for name, value in model.state_dict().items()
            if not name.endswith("position_ids")}


def in_order(names):
    """As the lists are written."""
    return sorted(names, key=lambda name: name.split("."))


def numbered_tensors(names):
    """Each tensor full of its own number, without memory of that size."""
    return {name: torch.full((), i, dtype=torch.int16).expand(names[name])
            for i, name in enumerate(in_order(names))}


def require_equal(what, got, wanted):
    """Shapes must agree; returns which original each of diffusers' tensors is."""
    shapes_got = {name: tuple(value.shape) for name, value in got.items()}
    if shapes_got != wanted:
        odd = sorted(set(shapes_got.items()) ^ set(wanted.items()))[:10]
        raise SystemExit(f"{what}: converted list must be the reference's, differs in {odd}")
    return {name: int(value.flatten()[0]) for name, value in got.items()}


def with_level(names):
    """transformers since 5.6 leaves `text_model.` out of CLIPTextModel; files still have it."""
    return {name if name.startswith(("text_model.", "text_projection")) else "text_model." + name:
            shape for name, shape in names.items()}


def tower_lists(kind, place, width, layers, heads):
    """(original names, diffusers' names, model on the meta device)"""
    pooled = place == "text_encoder_2"
    config = transformers.CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=4 * width,
        num_hidden_layers=layers - 1 if layers == 24 else layers,  # SD 2 never runs the last
        num_attention_heads=heads, projection_dim=width)
    cls = transformers.CLIPTextModelWithProjection if pooled else transformers.CLIPTextModel
    with torch.device("meta"):
        model = cls(config)
    original = original_hf(config) if kind == "hf" else original_open_clip(config, layers)
    return original, with_level(shapes(model)), model


def export(layout, out):
    facts = LAYOUTS[layout]
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**facts["unet"])
        vae = diffusers.AutoencoderKL(**VAE)
    towers = [tower_lists(kind, place, *sizes) for kind, _, place, *sizes in facts["towers"]]

    original = dict(LEFTOVERS)
    parts = [("model.diffusion_model.", original_unet(facts["unet"])),
             ("first_stage_model.", original_vae())]
    parts += [(prefix, names) for (_, prefix, *_), (names, *_) in zip(facts["towers"], towers)]
    for prefix, names in parts:
        original.update({prefix + name: shape for name, shape in names.items()})

    checkpoint = numbered_tensors(original)
    reference, origins = {}, {}

    def add(folder, got, wanted):
        numbers = require_equal(f"{layout} {folder}", got, wanted)
        reference.update({f"{folder}.{name}": shape for name, shape in wanted.items()})
        origins.update({f"{folder}.{name}": number for name, number in numbers.items()})

    add("unet", converters.convert_ldm_unet_checkpoint(checkpoint, dict(unet.config)), shapes(unet))
    add("vae", converters.convert_ldm_vae_checkpoint(checkpoint, dict(vae.config)), shapes(vae))
    for (kind, prefix, place, *_), (_, wanted, model) in zip(facts["towers"], towers):
        tensors = {name: value for name, value in checkpoint.items()
                   if name.startswith(prefix) and "position_ids" not in name}
        got = (converters.convert_ldm_clip_checkpoint(tensors) if kind == "hf" else
               converters.convert_open_clip_checkpoint(model, tensors, prefix=prefix))
        if "text_projection.weight" not in wanted:
            got.pop("text_projection.weight", None)  # dropped by the model, not by the converter
        add(place, got, wanted)
    write_tree(out / f"{layout}.original.keys", original)
    write_tree(out / f"{layout}.diffusers.keys", reference, origins)
    print(f"{layout}: {len(original)} original, {len(reference)} diffusers")


def write_tree(path, names, numbers=None):
    lines, open_segments = [], []
    for name in in_order(names):
        segments = name.split(".")
        shared = 0
        while (shared < min(len(open_segments), len(segments) - 1)
               and open_segments[shared] == segments[shared]):
            shared += 1
        for depth in range(shared, len(segments) - 1):
            lines.append(" " * depth + segments[depth])
        shape = ",".join(map(str, names[name]))
        number = f" {numbers[name]}" if numbers else ""
        lines.append(" " * (len(segments) - 1) + f"{segments[-1]} [{shape}]{number}")
        open_segments = segments[:-1]
    path.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=common.REPO / "tests" / "fixtures" / "keys")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for layout in LAYOUTS:
        export(layout, out)


if __name__ == "__main__":
    main()
