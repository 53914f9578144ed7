"""Writes a random-weight Stable Diffusion 1.5 of full size, for timing and memory measurements.

    python tools/reference/make_full_size.py FOLDER [--storage f16|bf16|f32] [--unet-only]

Tensors are drawn and written one at a time, so it needs little memory beside the library's own;
the folder takes 2.1 GB in f16 and 4.3 GB in f32. The tokenizer is the demonstration model's, in a
text encoder with the real vocabulary. The weights are scaled so that activations stay finite.
"""

import argparse
import json
import shutil
import struct
from pathlib import Path

import torch

from common import DEMO_MODEL, write_json
from model_writer import DTYPES, module_config, random_tensor, write_model_index

import diffusers  # noqa: E402
import transformers  # noqa: E402

UNET = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
TEXT_ENCODER = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}

# What Stable Diffusion 1.5 has; a full-size model that is not is no measure of it.
PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}

SAFETENSORS_DTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}


def stream_safetensors(path, module, storage, generator, prefix=""):
    """Writes a module that lives on the meta device, drawing each tensor when its turn comes."""
    width = DTYPES[storage].itemsize
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, parameter in module.named_parameters():
        end = offset + parameter.numel() * width
        header[prefix + name] = {
            "dtype": SAFETENSORS_DTYPES[storage],
            "shape": list(parameter.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts on a multiple of 8
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, parameter in module.named_parameters():
            tensor = random_tensor(name, parameter.shape, generator).to(DTYPES[storage])
            file.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)


def check_parameters(component, module):
    """Refuses a module that does not have Stable Diffusion 1.5's number of parameters."""
    count = sum(p.numel() for p in module.parameters())
    if count != PARAMETERS[component]:
        raise SystemExit(f"{component} must have {PARAMETERS[component]} parameters, got {count}")
    print(f"{component}: {count:,} parameters")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write; existing parts are replaced")
    parser.add_argument("--storage", choices=DTYPES, default="f16", help="dtype in the files")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--unet-only", action="store_true", help="leave out the other networks")
    options = parser.parse_args()

    generator = torch.Generator("cpu").manual_seed(options.seed)
    vocabulary = json.loads((DEMO_MODEL / "tokenizer" / "vocab.json").read_text(encoding="utf-8"))
    text = transformers.CLIPTextConfig(
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        **TEXT_ENCODER,
    )
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**UNET)
        vae = diffusers.AutoencoderKL(**VAE)
        text_encoder = transformers.CLIPTextModel(text)

    folder, stem = options.folder, "diffusion_pytorch_model.safetensors"
    check_parameters("unet", unet)
    stream_safetensors(folder / "unet" / stem, unet, options.storage, generator)
    write_json(folder / "unet" / "config.json", module_config(unet))
    if options.unet_only:
        return
    check_parameters("vae", vae)
    stream_safetensors(folder / "vae" / stem, vae, options.storage, generator)
    write_json(folder / "vae" / "config.json", module_config(vae))
    check_parameters("text_encoder", text_encoder)
    stream_safetensors(
        folder / "text_encoder" / "model.safetensors",
        text_encoder,
        options.storage,
        generator,
        prefix="text_model.",
    )
    write_json(
        folder / "text_encoder" / "config.json",
        {
            "architectures": ["CLIPTextModel"],
            "model_type": "clip_text_model",
            "attention_dropout": 0.0,
            "layer_norm_eps": 1e-5,
            "max_position_embeddings": 77,
            "pad_token_id": 1,
            "bos_token_id": text.bos_token_id,
            "eos_token_id": text.eos_token_id,
            **TEXT_ENCODER,
        },
    )
    shutil.copytree(DEMO_MODEL / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    (folder / "scheduler").mkdir(exist_ok=True)
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_model_index(folder, SCHEDULER["_class_name"])


if __name__ == "__main__":
    main()
