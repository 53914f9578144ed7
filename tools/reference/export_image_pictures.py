"""Draws pictures from pictures with diffusers in f32: image to image and inpainting, each sampler.

    python tools/reference/export_image_pictures.py [MODEL ...]

Writes tests/fixtures/image_to_image/<model>/pictures.safetensors (uint8: `source` [H, W, 3], `mask`
[H, W], and one picture for each case, named like it) and pictures.json (what was asked for).
"""

import argparse

import diffusers
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import brownian
from common import (
    BROWNIAN_SAMPLERS,
    FIXTURE_MODELS,
    MORE_SAMPLERS,
    REPO,
    SAMPLERS,
    load_pipeline,
    make_scheduler,
    require_small,
    versions,
    write_json,
)
from export_images import painting

FOLDER = REPO / "tests" / "fixtures" / "image_to_image"
WIDTH, HEIGHT = 56, 40
ALL_SAMPLERS = [*SAMPLERS, *MORE_SAMPLERS]
V_SAMPLERS = ["ddim", "euler", "euler_a", "dpmpp_2m", "heun", "unipc", "pndm"]
FEW_SAMPLERS = ["ddim", "euler", "euler_a", "dpmpp_2m", "pndm"]


def mask_of(width, height):
    """An ellipse and a bar, edges off the grid of latents."""
    y, x = np.mgrid[0:height, 0:width]
    ellipse = ((x - width * 0.6) / (width * 0.22)) ** 2 + ((y - height * 0.5) / (height * 0.3)) ** 2
    mask = np.where(ellipse < 1, 255, 0).astype(np.uint8)
    mask[3:9, 5:21] = 255
    return Image.fromarray(mask)


def case(name, kind, sampler, **more):
    return {
        "name": name,
        "kind": kind,
        "prompt": "red apple",
        "negative_prompt": "",
        "steps": 8,
        "strength": 0.6,
        "guidance": 3.0,
        "sampler": sampler,
        "scheduler": "",
        "seed": 7,
        **more,
    }


def img2img_cases(samplers):
    cases = [case(f"img2img-{name}", "img2img", name) for name in samplers]
    cases += [
        # DDIM from pure noise multiplies rounding by 14; the refiner drifts by itself then.
        case("img2img-all", "img2img", "euler", strength=1.0, seed=8),
        case("img2img-cut", "img2img", "euler", strength=0.29, steps=100, guidance=1.0),
        case("img2img-one-step", "img2img", "dpmpp_2m", strength=0.2, steps=5),
        case("img2img-karras", "img2img", "dpmpp_2m", scheduler="karras", strength=0.8),
        case("img2img-resized", "img2img", "euler", width=72, height=48),
        case("img2img-rounded", "img2img", "ddim", source="odd"),
    ]
    return cases


def inpaint_cases(samplers):
    cases = [case(f"inpaint-{name}", "inpaint", name, strength=1.0) for name in samplers]
    cases += [case(f"inpaint-part-{name}", "inpaint", name, strength=0.7) for name in samplers]
    cases.append(case("inpaint-unguided", "inpaint", "euler_a", guidance=1.0, strength=0.99))
    cases.append(case("inpaint-resized", "inpaint", "ddim", width=72, height=48, strength=1.0))
    crop = {"width": 64, "height": 64, "padding_mask_crop": 4, "strength": 0.75}
    cases.append(case("inpaint-only-masked", "inpaint", "euler", **crop))
    return cases


MODELS = {
    "four-level": img2img_cases(ALL_SAMPLERS) + inpaint_cases(ALL_SAMPLERS),
    "sd2-zero-snr": img2img_cases(V_SAMPLERS) + inpaint_cases(V_SAMPLERS),
    "sdxl": img2img_cases(FEW_SAMPLERS) + inpaint_cases(FEW_SAMPLERS),
    "sdxl-refiner": img2img_cases(["euler", "ddim"]),
    "inpainting": inpaint_cases(ALL_SAMPLERS),
}


def pipelines_of(pipe):
    """The pipelines for a picture, over the same parts."""
    xl = "XL" in type(pipe).__name__
    names = ("StableDiffusionXL" if xl else "StableDiffusion") + "{}Pipeline"
    kinds = {}
    for kind, name in (("img2img", "Img2Img"), ("inpaint", "Inpaint")):
        if kind == "img2img" and pipe.unet.config.in_channels == 9:
            continue
        made = getattr(diffusers, names.format(name)).from_pipe(pipe)
        made.set_progress_bar_config(disable=True)
        if getattr(made, "watermark", None) is not None:
            made.watermark = None
        kinds[kind] = made
    return kinds


@torch.inference_mode()
def draw(pipe, scheduler_of, entry, source, mask):
    pipe.scheduler = make_scheduler(scheduler_of, entry["sampler"], entry["scheduler"])
    inpaint = entry["kind"] == "inpaint"
    width, height = entry.get("width", WIDTH), entry.get("height", HEIGHT)
    if entry["sampler"] in BROWNIAN_SAMPLERS:
        factor = pipe.vae_scale_factor
        latents = (1, pipe.vae.config.latent_channels, height // factor, width // factor)
        encoded_first = pipe.unet.config.in_channels == 4 or entry["strength"] < 1
        draws = 1 + int(encoded_first) + int(inpaint)
        brownian.attach(pipe.scheduler, entry["seed"], latents, draws)
    more = {}
    if inpaint:
        more = {"mask_image": mask, "width": width, "height": height}
        if "padding_mask_crop" in entry:
            more["padding_mask_crop"] = entry["padding_mask_crop"]
    elif "width" in entry:
        source = source.resize((width, height), Image.LANCZOS)
    picture = pipe(
        prompt=entry["prompt"],
        negative_prompt=entry["negative_prompt"],
        image=source,
        strength=entry["strength"],
        num_inference_steps=entry["steps"],
        guidance_scale=entry["guidance"],
        generator=torch.Generator("cpu").manual_seed(entry["seed"]),
        output_type="pil" if "padding_mask_crop" in entry else "np",
        **more,
    ).images[0]
    if isinstance(picture, Image.Image):
        return np.array(picture)
    if not np.isfinite(picture).all():
        raise RuntimeError(f"{entry['name']}: the reference drew numbers that are not finite")
    return np.ascontiguousarray((picture * 255).round().astype(np.uint8))


def export(name):
    base = load_pipeline(FIXTURE_MODELS / name)
    kinds = pipelines_of(base)
    source, mask = painting(WIDTH, HEIGHT, seed=3), mask_of(WIDTH, HEIGHT)
    odd = painting(WIDTH + 5, HEIGHT + 3, seed=4)
    pictures = {
        "source": torch.from_numpy(np.array(source)),
        "odd": torch.from_numpy(np.array(odd)),
        "mask": torch.from_numpy(np.array(mask)),
    }
    cases = []
    for entry in MODELS[name]:
        given = odd if entry.get("source") == "odd" else source
        try:
            pixels = draw(kinds[entry["kind"]], base, entry, given, mask)
        except (ValueError, NotImplementedError, RuntimeError, IndexError) as error:
            print(f"  {entry['name']:24} left out: {str(error)[:90]}")
            continue
        print(f"  {entry['name']:24} spread {float(pixels.std()):.0f}")
        pictures[entry["name"]] = torch.from_numpy(pixels)
        cases.append(entry)
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    save_file(pictures, folder / "pictures.safetensors")
    (folder / "pictures.safetensors").chmod(0o644)
    model = (FIXTURE_MODELS / name).relative_to(REPO).as_posix()
    write_json(
        folder / "pictures.json", {"model": model, "versions": versions(), "pictures": cases}
    )
    require_small(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MODELS)}; default all")
    for name in parser.parse_args().names or MODELS:
        print(name)
        export(name)


if __name__ == "__main__":
    main()
