"""A checkpoint's tensors under the names of the original (ldm, sgm) single files, and back.

The names come from export_keys.py's structure of that code; which of diffusers' tensors each is, from
diffusers' own converters, run on tensors that are full of their own number. So nothing here repeats
our C++ tables.
"""

import common  # noqa: F401  (first: keeps diffusers offline and quiet)
import torch
from diffusers.loaders import single_file_utils as converters
from export_keys import (
    numbered_tensors,
    original_hf,
    original_open_clip,
    original_unet,
    original_vae,
    in_order,
)

# Rows of OpenCLIP's joined matrix.
THIRDS = ("q_proj", "k_proj", "v_proj")


class Part:
    """One network: its original names below a prefix, and the diffusers tensors in each.

    `extra` are originals that diffusers drops: they get `filler` values.
    """

    def __init__(self, prefix, shapes, convert):
        self.prefix = prefix
        self.shapes = {prefix + name: shape for name, shape in shapes.items()}
        order = in_order(self.shapes)
        self.members = {}
        for name, value in convert(numbered_tensors(self.shapes)).items():
            self.members.setdefault(order[int(value.flatten()[0])], []).append(name)
        for names in self.members.values():
            names.sort(key=lambda n: next((i for i, t in enumerate(THIRDS) if t in n), 0))

    def to_original(self, state, filler):
        """`state`: diffusers' names. `filler(name, shape)`: values for what diffusers lacks."""
        tensors = {}
        for name, shape in self.shapes.items():
            if name.endswith("position_ids"):
                tensors[name] = torch.arange(shape[1]).reshape(shape)
            elif name in self.members:
                value = torch.cat([state[member] for member in self.members[name]])
                value = value.T if name.endswith(".text_projection") else value
                tensors[name] = value.reshape(shape).contiguous()
            else:
                tensors[name] = filler(name, shape)
        return tensors

    def from_original(self, tensors, state):
        """The inverse: every tensor of `state` with the values that a file holds."""
        restored = {}
        for name, members in self.members.items():
            value = tensors[name].T if name.endswith(".text_projection") else tensors[name]
            for member, rows in zip(members, value.chunk(len(members))):
                restored[member] = rows.reshape(state[member].shape).contiguous()
        if set(restored) != set(state):
            raise RuntimeError(f"{self.prefix}: {sorted(set(restored) ^ set(state))[:5]} differ")
        return restored


def with_level(state):
    """transformers since 5.6 leaves `text_model.` out of CLIPTextModel; converters still have it."""
    return {
        name if name.startswith(("text_model.", "text_projection")) else f"text_model.{name}": value
        for name, value in state.items()
    }


def own_names(state, model):
    """The names that `model` itself uses."""
    return {
        name if name in model.state_dict() else name.removeprefix("text_model."): value
        for name, value in state.items()
    }


def open_clip_part(prefix, model, unused_layers, projected):
    kept = model.config.num_hidden_layers

    def convert(tensors):
        found = converters.convert_open_clip_checkpoint(model, tensors, prefix=prefix)
        layers = {f"text_model.encoder.layers.{kept + i}." for i in range(unused_layers)}
        return {
            name: value
            for name, value in found.items()
            if not name.startswith(tuple(layers))
            and (projected or name != "text_projection.weight")
        }

    return Part(prefix, original_open_clip(model.config, kept + unused_layers), convert)


def hf_part(prefix, model):
    def convert(tensors):
        plain = {n: t for n, t in tensors.items() if not n.endswith("position_ids")}
        return converters.convert_ldm_clip_checkpoint(plain)

    return Part(prefix, original_hf(model.config), convert)


def parts_of(pipe, family):
    """Part name (an attribute of the pipeline) -> Part. `family`: sd1, sd2, sdxl or refiner."""
    unet, vae = dict(pipe.unet.config), dict(pipe.vae.config)
    parts = {
        "unet": Part(
            "model.diffusion_model.",
            original_unet(unet),
            lambda tensors: converters.convert_ldm_unet_checkpoint(tensors, unet),
        ),
        "vae": Part(
            "first_stage_model.",
            original_vae(vae),
            lambda tensors: converters.convert_ldm_vae_checkpoint(tensors, vae),
        ),
    }
    if family == "sd1":
        parts["text_encoder"] = hf_part("cond_stage_model.transformer.", pipe.text_encoder)
    if family == "sd2":  # whose last layer never runs
        parts["text_encoder"] = open_clip_part(
            "cond_stage_model.model.", pipe.text_encoder, unused_layers=1, projected=False
        )
    if family == "sdxl":
        parts["text_encoder"] = hf_part("conditioner.embedders.0.transformer.", pipe.text_encoder)
    if family in ("sdxl", "refiner"):
        place = "1" if family == "sdxl" else "0"
        parts["text_encoder_2"] = open_clip_part(
            f"conditioner.embedders.{place}.model.", pipe.text_encoder_2, 0, projected=True
        )
    return parts


def state_of(pipe, name):
    state = {n: t.detach() for n, t in getattr(pipe, name).state_dict().items()}
    state = {n: t for n, t in state.items() if not n.endswith("position_ids")}
    return with_level(state) if name.startswith("text_encoder") else state


def original_tensors(pipe, parts, generator):
    """Every tensor of the single file, f32."""

    def filler(name, shape):
        return torch.randn(shape, generator=generator)

    tensors = {}
    for name, part in parts.items():
        tensors.update(part.to_original(state_of(pipe, name), filler))
    return tensors


def load_original(pipe, parts, tensors):
    """Gives the pipeline the values that a file holds, in f32."""
    for name, part in parts.items():
        model = getattr(pipe, name)
        state = part.from_original(tensors, state_of(pipe, name))
        missing = model.load_state_dict(
            own_names({n: t.float() for n, t in state.items()}, model), strict=False
        )
        lacking = [n for n in missing.missing_keys if not n.endswith("position_ids")]
        if lacking or missing.unexpected_keys:
            raise RuntimeError(f"{name}: {lacking[:5]} {missing.unexpected_keys[:5]}")
