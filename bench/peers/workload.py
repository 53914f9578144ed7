"""What every program of the comparison computes: flags, inputs of a step, the picture's case."""

PROMPT = "a photograph of an astronaut riding a horse on the moon"
NEGATIVE = "blurry, low quality"
WINDOW = 77


def add_arguments(parser):
    parser.add_argument("--model", required=True, help="folder in diffusers layout (SD 1.5)")
    parser.add_argument("--cache", default="build/peers", help="folder for converted models")
    parser.add_argument("--latent", type=int, default=64, help="side of the latent (default 64)")
    parser.add_argument("--steps", type=int, default=20, help="of a picture (default 20)")
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("--sdcpp-flash", action="store_true", help="its flash attention")
    parser.add_argument("--sdcpp-direct", action="store_true", help="its convolution without im2col")


def inputs(options):
    """Latents [2,4,H,W] and context [2,77,768] of a step with guidance, torch f32."""
    import torch

    generator = torch.Generator("cpu").manual_seed(0)
    latents = torch.randn((2, 4, options.latent, options.latent), generator=generator)
    return latents, torch.randn((2, WINDOW, 768), generator=generator)


def picture_case(options, steps):
    side = options.latent * 8
    return {
        "name": "whole picture",
        "prompt": PROMPT,
        "negative_prompt": NEGATIVE,
        "width": side,
        "height": side,
        "steps": steps,
        "guidance": 7.5,
        "sampler": "ddim",
        "scheduler": "",
        "seed": 7,
    }
