"""Dumps every block's output of the fixture models, for comparison with ours block by block.

    python tools/reference/export_blocks.py [NAME ...]

Writes <model>/blocks.safetensors (f32, pictures and latents as [B, C, H, W], as in the reference)
and blocks.json (the prompts, versions). Names are the reference's module paths after `unet.`,
`vae.` or `text.`; what goes in is `<component>.input.*`, what comes out `<component>.output.*`.
"""

import argparse

import torch
from safetensors.torch import save_file

from common import FIXTURE_MODELS, load_pipeline, require_small, versions, write_json

# Two rows, as guidance runs: a prompt, and the empty one.
PROMPTS = ["a red apple on an old wooden table, 2 leaves & a café's sign!", ""]

# Latent height and width: not square, odd where halving must round.
LATENTS = {
    "four-level": (10, 6),
    "odd-channels": (9, 7),
    "shallow": (6, 8),
    "one-level": (5, 7),
    "sd2-zero-snr": (10, 7),
    "sdxl": (9, 6),
    "sdxl-distilled": (6, 9),
    "sdxl-refiner": (5, 6),
    "inpainting": (6, 5),
}
TIMESTEP = 601.5  # between two training steps, as Euler's timesteps are
CONTEXT_LENGTH = 11  # not 77: nothing may assume the window's length


class Trace:
    """Collects the first output of chosen modules under `<prefix>.<module path>`."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.handles = []

    def watch(self, prefix, root, wanted):
        for path, module in root.named_modules():
            if wanted(path):
                self.handles.append(module.register_forward_hook(self.hook(f"{prefix}.{path}")))

    def hook(self, name):
        return lambda _module, _inputs, output: self.keep(name, output)

    def keep(self, name, output):
        output = output[0] if isinstance(output, tuple) else output
        self.tensors[name] = output.detach().float().contiguous().clone()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()


def is_block(path):
    """conv_in, time_embedding, down_blocks.N, mid_block, up_blocks.N, conv_norm_out, conv_out."""
    parts = path.removeprefix("encoder.").removeprefix("decoder.").split(".")
    if parts[0] in ("conv_in", "time_embedding", "add_embedding", "mid_block", "conv_norm_out",
                    "conv_out"):
        return len(parts) == 1
    return parts[0] in ("down_blocks", "up_blocks") and len(parts) == 2


def is_text_block(path):
    parts = path.split(".")
    return path == "embeddings" or (parts[:2] == ["encoder", "layers"] and len(parts) == 3)


@torch.inference_mode()
def export_text(pipe, trace, tensors, suffix):
    """One tower under `text.` or `text_2.`: last features, penultimate ones, pooled ones."""
    encoder = getattr(pipe, f"text_encoder{suffix}", None)
    if encoder is None:
        return
    tokenizer = getattr(pipe, f"tokenizer{suffix}")
    ids = tokenizer(
        PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    prefix = f"text{suffix}"
    tensors[f"{prefix}.input.ids"] = ids.to(torch.int32)
    trace.watch(prefix, getattr(encoder, "text_model", encoder), is_text_block)
    result = encoder(ids, output_hidden_states=True)
    tensors[f"{prefix}.output.hidden"] = result.last_hidden_state.clone()
    tensors[f"{prefix}.output.penultimate"] = result.hidden_states[-2][:1].clone()
    if "text_embeds" in result:
        tensors[f"{prefix}.output.pooled"] = result.text_embeds.clone()
    # One row tells as much as two here, and the fixture stays small.
    inner = (f"{prefix}.embeddings", f"{prefix}.encoder")
    for name in [n for n in tensors if n.startswith(inner)]:
        tensors[name] = tensors[name][:1].clone()


def added_conditioning(pipe, generator, tensors):
    """Pooled text and time ids for a UNet that wants them, two rows that differ."""
    unet = pipe.unet
    if unet.config.addition_embed_type is None:
        return {}
    ids = torch.tensor([[1024.0, 768, 0, 16, 512, 513], [56, 72, 8, 0, 56, 72.5]])
    if pipe.config.get("requires_aesthetics_score", False):
        ids = ids[:, :5]
    ids_width = ids.shape[1] * unet.config.addition_time_embed_dim
    pooled_width = unet.config.projection_class_embeddings_input_dim - ids_width
    pooled = torch.randn((2, pooled_width), generator=generator)
    tensors["unet.input.pooled"] = pooled
    tensors["unet.input.time_ids"] = ids.clone()
    return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": ids}}


@torch.inference_mode()
def export_unet(pipe, trace, tensors, latent_size, generator):
    unet = pipe.unet
    sample = torch.randn((2, unet.config.in_channels, *latent_size), generator=generator)
    context = torch.randn((2, CONTEXT_LENGTH, unet.config.cross_attention_dim), generator=generator)
    timestep = torch.tensor([TIMESTEP])
    tensors["unet.input.sample"] = sample
    tensors["unet.input.context"] = context
    tensors["unet.input.timestep"] = timestep
    added = added_conditioning(pipe, generator, tensors)
    trace.watch("unet", unet, is_block)
    tensors["unet.time_proj"] = unet.time_proj(timestep.expand(2)).clone()
    result = unet(sample, timestep[0], context, return_dict=False, **added)
    tensors["unet.output.sample"] = result[0].clone()


@torch.inference_mode()
def export_vae(pipe, trace, tensors, latent_size, generator):
    vae = pipe.vae
    factor = pipe.vae_scale_factor
    height, width = 3 * factor, 2 * factor
    image = torch.rand((1, 3, height, width), generator=generator) * 2 - 1
    latent = torch.randn((1, vae.config.latent_channels, 3, 2), generator=generator)
    tensors["vae.input.image"] = image
    tensors["vae.input.latent"] = latent
    trace.watch("vae", vae, is_block)
    moments = vae.encode(image).latent_dist.parameters
    tensors["vae.output.moments"] = moments.clone()
    tensors["vae.output.image"] = vae.decode(latent, return_dict=False)[0].clone()


def export(name):
    folder = FIXTURE_MODELS / name
    pipe = load_pipeline(folder)
    tensors = {}
    generator = torch.Generator("cpu").manual_seed(2026)
    with Trace(tensors) as trace:
        export_text(pipe, trace, tensors, "")
        export_text(pipe, trace, tensors, "_2")
        export_unet(pipe, trace, tensors, LATENTS[name], generator)
        export_vae(pipe, trace, tensors, LATENTS[name], generator)
    for key, value in ((k, v) for k, v in tensors.items() if v.numel() > 1):
        spread = value.float().std().item()
        if not torch.isfinite(value.float()).all() or not (0.01 < spread < 1000):
            raise RuntimeError(f"{name}: {key} has spread {spread}: weights are badly scaled")
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "blocks.safetensors")
    (folder / "blocks.safetensors").chmod(0o644)
    write_json(
        folder / "blocks.json",
        {"prompts": PROMPTS, "timestep": TIMESTEP, "versions": versions()},
    )
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(LATENTS)}; default all")
    parser.add_argument("--list", action="store_true", help="print names, shapes and spreads")
    options = parser.parse_args()
    for name in options.names or LATENTS:
        tensors = export(name)
        if options.list:
            for key in tensors:
                print(f"  {key:32} {list(tensors[key].shape)} {tensors[key].float().std():.3f}")
        require_small(FIXTURE_MODELS / name)


if __name__ == "__main__":
    main()
