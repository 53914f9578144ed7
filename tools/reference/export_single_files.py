"""Writes tests/fixtures/single_files: tiny checkpoints in the original layout, one file each, and the
pictures that diffusers draws in f32 with the values they hold.

    python tools/reference/export_single_files.py [NAME ...]

To stay small, only the first holds an autoencoder, which the others borrow as `--vae` does.
Pictures go to tests/fixtures/pipelines/single-<name>/, as those of export_pictures.py. The tokenizer
is that of tests/fixtures/models/shallow, for every text encoder.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import families
import original_layout
import single_files
from common import (
    FIXTURE_LIMIT_BYTES,
    FIXTURE_MODELS,
    FIXTURE_PIPELINES,
    REPO,
    draw,
    load_pipeline,
    require_small,
    versions,
    write_json,
)
from export_pictures import UNICODE, case
from make_models import SPECS, vae_config
from model_writer import write_model

FOLDER = REPO / "tests" / "fixtures" / "single_files"
TOKENIZER = FIXTURE_MODELS / "shallow" / "tokenizer"
MERGES = SPECS["shallow"]["tokenizer"]["merges"]


def tower(activation, layers=2, **more):
    return {
        "hidden_size": 64,
        "intermediate_size": 80,
        "num_hidden_layers": layers,
        "num_attention_heads": 1,
        "hidden_act": activation,
        **more,
    }


def unet(widths, attentive, heads, **more):
    return {
        "block_out_channels": widths,
        **families.kinds(attentive),
        "layers_per_block": 1,
        "norm_num_groups": 32,
        "attention_head_dim": heads,
        **more,
    }


def spec(seed, schedule, network, towers, scaling_factor, **more):
    pads = {"text_encoder": {}, "text_encoder_2": {"pad_token": "!"}}
    if towers.get("text_encoder", {}).get("hidden_act") == "gelu":
        pads["text_encoder"] = {"pad_token": "!"}
    return {
        "seed": seed,
        "unet": network,
        "vae": vae_config([32, 32], 32, 1, scaling_factor=scaling_factor),
        "scheduler": schedule,
        "store": {part: {"dtype": "f32"} for part in ("unet", "vae", *pads)},
        **towers,
        **{name.replace("text_encoder", "tokenizer"): {"merges": MERGES, **pads[name]}
           for name in towers},
        **more,
    }


SD1 = spec(
    201,
    families.PNDM,
    unet([32, 32], [True, False], 8, cross_attention_dim=64),
    {"text_encoder": tower("quick_gelu", layers=1)},
    0.18215,
)
SD2 = spec(
    202,
    families.DDIM_V,
    unet([32, 64], [False, False], [1, 1], cross_attention_dim=64, use_linear_projection=True),
    {"text_encoder": tower("gelu", layers=1)},
    0.18215,
)
SDXL = spec(
    203,
    families.EULER,
    unet(
        [32, 64], [False, False], [1, 1], cross_attention_dim=128, use_linear_projection=True,
        **families.added_embedding(6, 24, 12),
    ),
    {"text_encoder": tower("quick_gelu"), "text_encoder_2": tower("gelu", projection_dim=24)},
    0.13025,
    index={"pipeline": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True},
)

SD1_SHALLOW = spec(
    204,
    families.PNDM,
    unet([32], [True], 8, cross_attention_dim=64),
    {"text_encoder": tower("quick_gelu")},
    0.18215,
)

# name -> (spec, layout, storage, file name, options of our loader)
FILES = {
    "sd1": (SD1, "sd1", "fp8_e4m3", "sd1.safetensors", {}),
    "sd2-v": (SD2, "sd2", "fp8_e4m3", "sd2-v.safetensors", {"prediction": "v_prediction"}),
    "sdxl": (SDXL, "sdxl", "fp8_e5m2", "sdxl.safetensors", {}),
    "sd1-gguf": (SD1_SHALLOW, "sd1", "Q8_0", "sd1-q8_0.gguf", {}),
}
VAE_PREFIX = "first_stage_model."
VAE_FILE = FOLDER / FILES["sd1"][3]


def cases(layout):
    """Sizes that are not square, all sorts of negative prompts, a sampler of each kind."""
    wide, tall = {"width": 56, "height": 40}, {"width": 40, "height": 64}
    own = {"sd1": "pndm", "sd2": "ddim", "sdxl": "euler"}[layout]
    return [
        case("own-sampler", own, negative_prompt=None, seed=31, **wide),
        case("unicode", "euler_a", prompt=UNICODE, negative_prompt="blue, noisy", **tall),
        case("solver", "dpmpp_2m", scheduler="karras", guidance=6.0, **wide),
        case("clip-skip", "heun", clip_skip=1 if layout == "sdxl" else 0, steps=4, **tall),
        case("unguided", "lcm", guidance=1.0, steps=3, prompt="", **wide),
    ]


def export(name, scratch):
    written, layout, storage, file_name, options = FILES[name]
    folder = Path(scratch) / name
    write_model(folder, written)
    if written["tokenizer"]["merges"] != MERGES or (folder / "tokenizer/vocab.json").read_bytes() != (
        TOKENIZER / "vocab.json"
    ).read_bytes():
        raise RuntimeError(f"{name}: its tokenizer must be that of {TOKENIZER}")
    pipe = load_pipeline(folder)
    parts = original_layout.parts_of(pipe, layout)
    generator = torch.Generator("cpu").manual_seed(written["seed"])
    tensors = original_layout.original_tensors(pipe, parts, generator)
    file = FOLDER / file_name
    borrowed = {}
    if file != VAE_FILE:
        options = {**options, "vae": VAE_FILE.relative_to(REPO).as_posix()}
        borrowed = {n: t.float() for n, t in load_file(VAE_FILE).items() if n.startswith(VAE_PREFIX)}
        tensors = {n: t for n, t in tensors.items() if not n.startswith(VAE_PREFIX)}
    FOLDER.mkdir(exist_ok=True)
    if storage in single_files.FLOATS:
        held = single_files.write_safetensors(file, tensors, storage)
    else:
        held = single_files.write_gguf(file, tensors, storage, converted_names=True)
    file.chmod(0o644)
    if file.stat().st_size > FIXTURE_LIMIT_BYTES:
        raise SystemExit(f"{file} must stay under {FIXTURE_LIMIT_BYTES}, got {file.stat().st_size}")
    original_layout.load_original(pipe, parts, {**held, **borrowed})

    pictures = {}
    for entry in cases(layout):
        pixels = draw(pipe, entry)
        spread = float(pixels.std())
        print(f"  {entry['name']:16} {entry['width']}x{entry['height']} spread {spread:.0f}")
        if spread < 20:
            raise RuntimeError(f"{name}: {entry['name']} has spread {spread}, a flat picture")
        pictures[entry["name"]] = torch.from_numpy(pixels)
    target = FIXTURE_PIPELINES / f"single-{name}"
    target.mkdir(exist_ok=True)
    save_file(pictures, target / "pictures.safetensors")
    (target / "pictures.safetensors").chmod(0o644)
    described = {
        "model": file.relative_to(REPO).as_posix(),
        "tokenizer": TOKENIZER.relative_to(REPO).as_posix(),
        **options,
        "versions": versions(),
        "pictures": cases(layout),
    }
    write_json(target / "pictures.json", described)
    print(f"{file_name}: {file.stat().st_size / 1000:.0f} kB")
    require_small(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(FILES)}; default all")
    with tempfile.TemporaryDirectory() as scratch:
        for name in parser.parse_args().names or FILES:
            export(name, scratch)


if __name__ == "__main__":
    main()
