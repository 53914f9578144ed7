"""Writes a random-weight Stable Diffusion of full size, for timing and memory measurements.

    python tools/reference/make_full_size.py FOLDER [--family sd15|sd21|sdxl] [--storage f16|...]

Tensors are drawn and written one at a time, so it needs little memory beside the library's own.
In f16 the folder takes 2.1 GB (sd15), 2.6 GB (sd21) or 6.9 GB (sdxl); f32 takes twice that. The
tokenizers are the demonstration model's, in text encoders with the real vocabulary. The weights
are scaled so that activations stay finite.
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

CROSS_DOWN, PLAIN_DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"

UNET = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": [CROSS_DOWN] * 3 + [PLAIN_DOWN],
    "up_block_types": [PLAIN_UP] + [CROSS_UP] * 3,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
UNET_21 = {
    **UNET,
    "sample_size": 96,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "upcast_attention": True,
}
UNET_XL = {
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": [PLAIN_DOWN, CROSS_DOWN, CROSS_DOWN],
    "up_block_types": [CROSS_UP, CROSS_UP, PLAIN_UP],
    "layers_per_block": 2,
    "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
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
CLIP_L = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
OPEN_CLIP_H = {
    "vocab_size": 49408,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
OPEN_CLIP_BIG_G = {
    "vocab_size": 49408,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
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
SCHEDULER_21 = {**SCHEDULER, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
SCHEDULER_XL = {
    **SCHEDULER,
    "_class_name": "EulerDiscreteScheduler",
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
}

FAMILIES = {
    "sd15": {
        "unet": UNET,
        "vae": VAE,
        "towers": {"text_encoder": CLIP_L},
        "scheduler": SCHEDULER,
        "index": {},
    },
    "sd21": {
        "unet": UNET_21,
        "vae": {**VAE, "sample_size": 768},
        "towers": {"text_encoder": OPEN_CLIP_H},
        "scheduler": SCHEDULER_21,
        "index": {},
    },
    "sdxl": {
        "unet": UNET_XL,
        "vae": {**VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
        "towers": {"text_encoder": CLIP_L, "text_encoder_2": OPEN_CLIP_BIG_G},
        "scheduler": SCHEDULER_XL,
        "index": {
            "pipeline": "StableDiffusionXLPipeline",
            "force_zeros_for_empty_prompt": True,
        },
    },
}

# What the published checkpoints have; a full-size model that is not is no measure of one.
PARAMETERS = {
    "sd15": {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480},
    "sd21": {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840},
    "sdxl": {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    },
}

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


def check_parameters(expected, component, module):
    """Refuses a module that does not have the published checkpoint's number of parameters."""
    count = sum(p.numel() for p in module.parameters())
    if count != expected[component]:
        raise SystemExit(f"{component} must have {expected[component]} parameters, got {count}")
    print(f"{component}: {count:,} parameters")


def write_tower(folder, config, expected, storage, generator):
    """A text encoder and its tokenizer; the one called text_encoder_2 pools and projects."""
    projected = folder.name.endswith("_2")
    name = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    vocabulary = json.loads((DEMO_MODEL / "tokenizer" / "vocab.json").read_text(encoding="utf-8"))
    config = {
        "bos_token_id": vocabulary["<|startoftext|>"],
        "eos_token_id": vocabulary["<|endoftext|>"],
        **config,
    }
    with torch.device("meta"):
        module = getattr(transformers, name)(transformers.CLIPTextConfig(**config))
    check_parameters(expected, folder.name, module)
    prefix = "" if projected else "text_model."
    stream_safetensors(folder / "model.safetensors", module, storage, generator, prefix)
    write_json(
        folder / "config.json",
        {
            "architectures": [name],
            "model_type": "clip_text_model",
            "attention_dropout": 0.0,
            "layer_norm_eps": 1e-5,
            "max_position_embeddings": 77,
            "pad_token_id": 1,
            **config,
        },
    )
    tokenizer = folder.parent / folder.name.replace("text_encoder", "tokenizer")
    shutil.copytree(DEMO_MODEL / "tokenizer", tokenizer, dirs_exist_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write; existing parts are replaced")
    parser.add_argument("--family", choices=FAMILIES, default="sd15")
    parser.add_argument("--storage", choices=DTYPES, default="f16", help="dtype in the files")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--unet-only", action="store_true", help="leave out the other networks")
    options = parser.parse_args()

    generator = torch.Generator("cpu").manual_seed(options.seed)
    spec, expected = FAMILIES[options.family], PARAMETERS[options.family]
    with torch.device("meta"):
        parts = {
            "unet": diffusers.UNet2DConditionModel(**spec["unet"]),
            "vae": diffusers.AutoencoderKL(**spec["vae"]),
        }
    if options.unet_only:
        del parts["vae"]

    folder, stem = options.folder, "diffusion_pytorch_model.safetensors"
    for name, module in parts.items():
        check_parameters(expected, name, module)
        stream_safetensors(folder / name / stem, module, options.storage, generator)
        write_json(folder / name / "config.json", module_config(module))
    if options.unet_only:
        return
    for name, config in spec["towers"].items():
        write_tower(folder / name, config, expected, options.storage, generator)
    (folder / "scheduler").mkdir(exist_ok=True)
    write_json(folder / "scheduler" / "scheduler_config.json", spec["scheduler"])
    write_model_index(folder, spec["scheduler"]["_class_name"], **spec["index"])


if __name__ == "__main__":
    main()
