"""Shared by the exporters: paths, versions, loading diffusers pipelines in f32, drawing pictures.

Import this module before diffusers or transformers: it keeps them offline and quiet.
"""

import json
import logging
import os
import platform
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
warnings.filterwarnings("ignore")

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import safetensors  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import brownian  # noqa: E402

if not hasattr(transformers.CLIPTextModel, "text_model"):
    # transformers 5.6 dropped this level; diffusers 0.42's clip_skip still goes through it.
    transformers.CLIPTextModel.text_model = property(lambda self: self)

diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
logging.getLogger("diffusers").setLevel(logging.ERROR)

REPO = Path(__file__).resolve().parents[2]
DEMO_MODEL = REPO / "models" / "tintype-emoji-128"
FIXTURE_MODELS = REPO / "tests" / "fixtures" / "models"
FIXTURE_PIPELINES = REPO / "tests" / "fixtures" / "pipelines"

# A fixture is fetched by everyone who clones: keep each under this many bytes.
FIXTURE_LIMIT_BYTES = 1_000_000

# Our sampler names and the scheduler classes that define them.
SAMPLERS = {
    "ddim": diffusers.DDIMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler_a": diffusers.EulerAncestralDiscreteScheduler,
    "pndm": diffusers.PNDMScheduler,
    "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
}
# The others that diffusers also has; parity.py's table draws with all of them.
MORE_SAMPLERS = {
    "ddpm": diffusers.DDPMScheduler,
    "lms": diffusers.LMSDiscreteScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
    "dpm2": diffusers.KDPM2DiscreteScheduler,
    "dpm2_a": diffusers.KDPM2AncestralDiscreteScheduler,
    "dpmpp_2m_sde": diffusers.DPMSolverMultistepScheduler,
    "dpmpp_sde": diffusers.DPMSolverSDEScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
    "deis": diffusers.DEISMultistepScheduler,
    "lcm": diffusers.LCMScheduler,
    "tcd": diffusers.TCDScheduler,
}
# Those whose noise is a Brownian path: diffusers runs on ours, see brownian.py.
BROWNIAN_SAMPLERS = ("dpmpp_2m_sde", "dpmpp_sde")
# Arguments of the pipelines with size conditioning, and our flags for them.
SIZE_KEYS = {
    "original_size": "--original-size",
    "crops_coords_top_left": "--crop",
    "target_size": "--target-size",
}
# Arguments that go to the pipeline as they are.
PLAIN_KEYS = ("guidance_rescale", "clip_skip", "prompt_2", "negative_prompt_2")
# The samplers that also know Karras' spacing of noise levels.
KARRAS_SAMPLERS = ("euler", "dpmpp_2m")


def samplers_for(prediction_type):
    """Sampler names whose scheduler class handles this prediction type."""
    if prediction_type == "sample":
        # The reference raises for both in their step().
        return [name for name in SAMPLERS if name not in ("euler_a", "pndm")]
    return list(SAMPLERS)


def versions():
    """Versions of everything that shaped an export, for its json."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "safetensors": safetensors.__version__,
        "numpy": np.__version__,
    }


def load_pipeline(folder):
    """The pipeline of a diffusers folder, every weight in f32 whatever the files store."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        str(folder), torch_dtype=torch.float32, local_files_only=True
    )
    if getattr(pipe, "watermark", None) is not None:
        pipe.watermark = None  # where that package is installed
    towers = [name for name in ("text_encoder", "text_encoder_2") if getattr(pipe, name, None)]
    for name in ("unet", "vae", *towers):
        dtypes = {p.dtype for p in getattr(pipe, name).parameters()}
        if dtypes != {torch.float32}:
            raise RuntimeError(f"{folder}: {name} must load as float32, got {dtypes}")
    pipe.set_progress_bar_config(disable=True)
    # `draw` replaces pipe.scheduler; every choice starts from the folder's own configuration.
    pipe.folder_scheduler_config = pipe.scheduler.config
    return pipe


def make_scheduler(pipe, sampler, scheduler=""):
    """The scheduler object behind our `--sampler NAME [--scheduler karras]`."""
    extra = {f"use_{scheduler}_sigmas": True} if scheduler else {}
    if sampler == "dpmpp_2m_sde":
        extra["algorithm_type"] = "sde-dpmsolver++"
    return {**SAMPLERS, **MORE_SAMPLERS}[sampler].from_config(pipe.folder_scheduler_config, **extra)


@torch.inference_mode()
def draw(pipe, case, refiner=None):
    """One picture as uint8 [H, W, 3]. `case` has the keys of one entry of pictures.json.

    With `refiner` in the case (a folder below the repository; or the loaded `refiner`) and
    `refiner_start`, that model goes on from the unfinished latents.
    """
    # [height, width] each, for pipelines with size conditioning.
    more = {key: tuple(case[key]) for key in SIZE_KEYS if key in case}
    more.update({key: case[key] for key in PLAIN_KEYS if key in case})
    pipe.scheduler = make_scheduler(pipe, case["sampler"], case["scheduler"])
    if case["sampler"] in BROWNIAN_SAMPLERS:
        factor = pipe.vae_scale_factor
        latents = (1, pipe.unet.config.in_channels, case["height"] // factor, case["width"] // factor)
        brownian.attach(pipe.scheduler, case["seed"], latents)
    shared = {
        "prompt": case["prompt"],
        "negative_prompt": case["negative_prompt"],
        "num_inference_steps": case["steps"],
        "guidance_scale": case["guidance"],
        "generator": torch.Generator("cpu").manual_seed(case["seed"]),
        **more,
    }
    size = {"width": case["width"], "height": case["height"]}
    if "refiner" in case:
        refiner = refiner or load_pipeline(REPO / case["refiner"])
        refiner.scheduler = make_scheduler(refiner, case["sampler"], case["scheduler"])
        start = case["refiner_start"]
        latents = pipe(**shared, **size, denoising_end=start, output_type="latent").images
        picture = refiner(**shared, image=latents, denoising_start=start, output_type="np").images[0]
    else:
        picture = pipe(**shared, **size, output_type="np").images[0]
    if not np.isfinite(picture).all():
        raise RuntimeError(f"{case['name']}: the reference drew numbers that are not finite")
    # The rounding of diffusers' numpy_to_pil.
    return np.ascontiguousarray((picture * 255).round().astype(np.uint8))


def write_json(path, value):
    """Readable JSON with a final newline; text stays Unicode."""
    Path(path).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def folder_bytes(folder):
    """Sum of the file sizes under a folder."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def require_small(folder):
    """Prints the size of a fixture folder and refuses one over the limit."""
    size = folder_bytes(folder)
    print(f"{Path(folder).name}: {size / 1000:.0f} kB")
    if size > FIXTURE_LIMIT_BYTES:
        raise SystemExit(
            f"{folder} must stay under {FIXTURE_LIMIT_BYTES} bytes, got {size}; cut channels"
        )


def tintype_command(binary, model, case, output):
    """The command that draws `case` with our program, as a list for subprocess."""
    command = [str(binary), "txt2img", "-m", str(model), "-p", case["prompt"]]
    if case["negative_prompt"] is not None:
        command += ["-n", case["negative_prompt"]]
    command += ["-W", str(case["width"]), "-H", str(case["height"])]
    command += ["--steps", str(case["steps"]), "--guidance", str(case["guidance"])]
    command += ["--sampler", case["sampler"]]
    if case["scheduler"]:
        command += ["--scheduler", case["scheduler"]]
    if "refiner" in case:
        command += ["--refiner", str(REPO / case["refiner"])]
        command += ["--refiner-start", str(case["refiner_start"])]
    if "guidance_rescale" in case:
        command += ["--guidance-rescale", str(case["guidance_rescale"])]
    if "clip_skip" in case:
        command += ["--clip-skip", str(case["clip_skip"])]
    for key, flag in SIZE_KEYS.items():
        if key in case:
            height, width = case[key]
            command += [flag, f"{width}x{height}"]
    return command + ["-s", str(case["seed"]), "-o", str(output)]


def difference(a, b):
    """Mean and greatest absolute difference of two uint8 pictures of one size, in 1/255."""
    apart = np.abs(a.astype(np.int16) - b.astype(np.int16))
    return float(apart.mean()), int(apart.max())
