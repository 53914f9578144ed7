"""Draws pictures with diffusers in f32, for comparison with ours picture by picture.

    python tools/reference/export_pictures.py [MODEL ...]

Writes tests/fixtures/pipelines/<model>/pictures.safetensors (uint8 [H, W, 3], one tensor for each
case, named like it) and pictures.json (what was asked for, library versions).
"""

import argparse

import torch
from safetensors.torch import save_file

from common import (
    DEMO_MODEL,
    FIXTURE_MODELS,
    FIXTURE_PIPELINES,
    KARRAS_SAMPLERS,
    REPO,
    draw,
    load_pipeline,
    require_small,
    samplers_for,
    versions,
    write_json,
)

UNICODE = "ein Überraschungs-Café 🦊 in 東京, naïve ½ Straße!"
# Over the window of 77 tokens in any vocabulary: the reference cuts it.
LONG = " ".join(f"apple number {i}, painted by the sea" for i in range(30))

# Width and height in pixels; the reference wants multiples of 8 whatever the model's factor.
SIZES = {
    "four-level": (72, 56),
    "odd-channels": (56, 88),
    "shallow": (40, 56),
    "one-level": (24, 16),
}

# The models that `variant_cases` serve: what later families add.
VARIANT_SIZES = {
    "sd2-zero-snr": (72, 56),
    "sdxl": (56, 72),
    "sdxl-distilled": (40, 64),
}
# The model that takes over from `sdxl` in its refined pictures.
REFINER = {
    "refiner": (FIXTURE_MODELS / "sdxl-refiner").relative_to(REPO).as_posix(),
    "refiner_start": 0.6,
}

# Cosine betas crowd Karras' noise levels at the last timestep; two equal timesteps there make the
# reference's DPM++ start at the second one and run past its own table.
BROKEN_IN_REFERENCE = {("one-level", "dpmpp_2m", "karras")}


def case(name, sampler, **more):
    """One entry of pictures.json, with defaults for what the case is not about."""
    return {
        "name": name,
        "prompt": "red apple",
        "negative_prompt": "",
        "width": 64,
        "height": 64,
        "steps": 6,
        "guidance": 3.0,
        "sampler": sampler,
        "scheduler": "",
        "seed": 7,
        **more,
    }


def fixture_cases(name, prediction_type):
    """Each sampler once with guidance, turning the size and varying prompt, steps and seed."""
    width, height = SIZES[name]
    prompts = ["red apple", UNICODE, LONG, "", "a panda! in a boat"]
    cases = []
    for i, sampler in enumerate(samplers_for(prediction_type)):
        w, h = (width, height) if i % 2 == 0 else (height, width)
        size = {"width": w, "height": h}
        cases.append(
            case(
                sampler,
                sampler,
                prompt=prompts[i],
                negative_prompt="" if i % 2 == 0 else "blue, noisy",
                steps=4 + i,
                guidance=2.0 + 0.5 * i,
                seed=40 + i,
                **size,
            )
        )
        if sampler in KARRAS_SAMPLERS and (name, sampler, "karras") not in BROKEN_IN_REFERENCE:
            cases.append(
                case(f"{sampler}-karras", sampler, scheduler="karras", steps=7, seed=90 + i, **size)
            )
    turned = {"width": height, "height": width}
    # The highest seed there is; a negative prompt that must not matter.
    top = {"guidance": 1.0, "seed": 2**64 - 1, "negative_prompt": "unused"}
    cases.append(case("unguided", "ddim", **top, **turned))
    cases.append(case("one-step", "ddim", steps=1, guidance=7.5, seed=2**32 + 5, **turned))
    return cases


def variant_cases(name):
    """The three sorts of negative prompt, two samplers, and each knob that a family adds."""
    width, height = VARIANT_SIZES[name]
    size = {"width": width, "height": height}
    turned = {"width": height, "height": width}
    second = "euler_a" if name == "sdxl-distilled" else "ddim"
    cases = [
        case("no-negative", "euler", negative_prompt=None, seed=21, **size),
        case("empty-negative", "euler", seed=21, **size),
        case("negative", "euler", prompt=UNICODE, negative_prompt="blue, noisy", **turned),
        case("second-sampler", second, prompt=LONG, negative_prompt=None, steps=5, **turned),
        case("unguided", second, guidance=0.0, steps=3, prompt="", negative_prompt=None, **size),
        case("clip-skip", second, clip_skip=1, negative_prompt="a boat", **size),
        case("rescaled", "euler", guidance=6.0, guidance_rescale=0.7, negative_prompt="", **size),
        case("solver", "dpmpp_2m", steps=8, negative_prompt=None, **size),
    ]
    if name.startswith("sdxl"):
        asked = {
            "original_size": [1024, 768],
            "crops_coords_top_left": [8, 40],
            "target_size": [600, 1200],
        }
        cases.append(case("sizes", "euler", negative_prompt=None, **asked, **turned))
        cases.append(case("own-spacing", second, steps=7, negative_prompt="boat", **turned))
    if name == "sdxl":
        refined = {**REFINER, "prompt": UNICODE, "steps": 9}
        cases.append(case("refined", "euler", negative_prompt=None, **refined, **size))
        refined["refiner_start"] = 0.25
        cases.append(case("refined-early", "euler_a", negative_prompt="boat", **refined, **turned))
        refined["refiner_start"] = 0.8
        cases.append(case("refined-late", "ddim", negative_prompt="", **refined, **turned))
    return cases


def demo_cases():
    """The demonstration model: the quickstart's picture, then each sampler once."""
    size = {"width": 128, "height": 128, "steps": 20}
    cases = [case("quickstart", "ddim", **size)]
    others = {
        "euler": "fire engine",
        "euler_a": "panda",
        "pndm": "sailboat",
        "dpmpp_2m": "green apple",
    }
    for seed, (sampler, prompt) in enumerate(others.items()):
        cases.append(case(sampler, sampler, prompt=prompt, **{**size, "steps": 12, "seed": seed}))
    wide = {"width": 160, "height": 96, "steps": 10, "negative_prompt": "blue"}
    cases.append(case("euler-karras", "euler", scheduler="karras", **wide))
    cases.append(case("dpmpp_2m-karras", "dpmpp_2m", scheduler="karras", **wide))
    cases.append(case("unguided", "ddim", prompt="", **{**wide, "guidance": 1.0}))
    return cases


def export(model, cases):
    """Draws the cases of one model folder and stores them."""
    pipe = load_pipeline(model)
    folder = FIXTURE_PIPELINES / model.name
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for entry in cases:
        pixels = draw(pipe, entry)
        spread = float(pixels.std())
        print(f"  {entry['name']:16} {entry['width']}x{entry['height']} spread {spread:.0f}")
        if spread < 20:
            raise RuntimeError(f"{model.name}: {entry['name']} has spread {spread}, a flat picture")
        pictures[entry["name"]] = torch.from_numpy(pixels)
    save_file(pictures, folder / "pictures.safetensors")
    (folder / "pictures.safetensors").chmod(0o644)
    write_json(
        folder / "pictures.json",
        {
            "model": model.relative_to(REPO).as_posix(),
            "versions": versions(),
            "pictures": cases,
        },
    )
    require_small(folder)


def main():
    names = [*SIZES, *VARIANT_SIZES, DEMO_MODEL.name]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; default all")
    for name in parser.parse_args().names or names:
        if name == DEMO_MODEL.name:
            export(DEMO_MODEL, demo_cases())
            continue
        if name in VARIANT_SIZES:
            export(FIXTURE_MODELS / name, variant_cases(name))
            continue
        config = load_pipeline(FIXTURE_MODELS / name).folder_scheduler_config
        export(FIXTURE_MODELS / name, fixture_cases(name, config.get("prediction_type", "epsilon")))


if __name__ == "__main__":
    main()
