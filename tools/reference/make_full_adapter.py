"""Writes a LoRA with random weights for a full-size model: for timing, not for looking at.

    python tools/reference/make_full_adapter.py MODEL FILE [--rank 16] [--seed 1] [--text]

MODEL is a diffusers folder. FILE gets kohya's names, f16, for every linear layer of the UNet's
transformers (what training scripts choose), and with --text for the text encoders' too.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

UNET = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
PARTS = {
    "unet": ("lora_unet_", UNET),
    "text_encoder": ("lora_te1_", TEXT),
    "text_encoder_2": ("lora_te2_", TEXT),
}


def shapes(folder):
    """name -> shape of the weights of a component."""
    result = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            result.update({key: tensors.get_slice(key).get_shape() for key in tensors.keys()})
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--text", action="store_true")
    options = parser.parse_args()
    index = json.loads((options.model / "model_index.json").read_text())
    generator = torch.Generator().manual_seed(options.seed)
    state = {}
    for part, (prefix, endings) in PARTS.items():
        if part not in index or (part != "unet" and not options.text):
            continue
        for key, shape in shapes(options.model / part).items():
            path = key.removesuffix(".weight")
            if not key.endswith(".weight") or not path.endswith(endings):
                continue
            name, taps = prefix + path.replace(".", "_"), [1] * (len(shape) - 2)
            down = torch.randn(options.rank, shape[1], *taps, generator=generator)
            up = torch.randn(shape[0], options.rank, *taps, generator=generator)
            state[f"{name}.lora_down.weight"] = (down / shape[1] ** 0.5).half()
            state[f"{name}.lora_up.weight"] = (up * 0.02).half()
            state[f"{name}.alpha"] = torch.tensor(float(options.rank))
    save_file(state, options.file)
    print(f"{options.file}: {len(state) // 3} layers, {options.file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
