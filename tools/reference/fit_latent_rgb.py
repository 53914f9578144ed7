"""Fits the linear map from latents to colours that previews are drawn with, and stores it.

    python tools/reference/fit_latent_rgb.py MODEL --prompts FILE [--steps 20] [-o OUT.json]

Draws a picture for each prompt with the reference (diffusers, f32), decodes it, and finds by least
squares the colour that each latent's channels stand for: the decoded picture, averaged over the
pixels of a latent, in -1..1. Latents are in the scale of the denoising network. Without -o the map
goes where the program looks for it, MODEL/vae/latent_rgb.json. Prints the fit's error.
"""

import argparse
import json
from pathlib import Path

import torch
from diffusers import DiffusionPipeline


@torch.no_grad()
def pairs(pipe, prompts, steps):
    """Latents [N, C] and the mean colour of their pixels [N, 3]."""
    latents, colours = [], []
    for seed, prompt in enumerate(prompts):
        z = pipe(prompt, num_inference_steps=steps, output_type="latent",
                 generator=torch.Generator().manual_seed(seed)).images
        picture = pipe.vae.decode(z / pipe.vae.config.scaling_factor).sample.clamp(-1, 1)
        factor = picture.shape[-1] // z.shape[-1]
        colours.append(torch.nn.functional.avg_pool2d(picture, factor)[0].flatten(1).T)
        latents.append(z[0].flatten(1).T)
    return torch.cat(latents).double(), torch.cat(colours).double()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--prompts", type=Path, required=True, help="one a line")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    prompts = [line for line in options.prompts.read_text().splitlines() if line.strip()]
    pipe = DiffusionPipeline.from_pretrained(options.model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    latents, colours = pairs(pipe, prompts, options.steps)
    ones = torch.cat([latents, torch.ones(len(latents), 1, dtype=torch.double)], dim=1)
    solution = torch.linalg.lstsq(ones, colours).solution
    error = (ones @ solution - colours).square().mean().sqrt()
    rounded = [[round(value, 4) for value in row] for row in solution.tolist()]
    fitted = dict(zip(("red", "green", "blue"), map(list, zip(*rounded[:-1]))), bias=rounded[-1])
    output = options.output or options.model / "vae" / "latent_rgb.json"
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in fitted.items())
    output.write_text(f"{{\n{lines}\n}}\n")
    spread = (colours - colours.mean(0)).square().mean().sqrt()
    print(f"{output}: root mean square error {error:.4f} of a spread of {spread:.4f}, "
          f"{len(latents)} latents of {len(prompts)} pictures")


if __name__ == "__main__":
    main()
