"""Writes tests/fixtures/samplers/*.json: runs of diffusers' schedulers on a small latent.

A case is a scheduler_config.json (an index into `configs`), a sampler, a number of steps, and what
the reference does with them: timesteps, init_noise_sigma, and the latents half-way and at the end.
Where the reference raises or ends in NaN, the case says "error" instead. DPM-Solver starts at the
second of two equal timesteps and then runs off its table, unless told to begin at index 0, as the
image-to-image pipelines tell it: the exporter tells it too where it would fail. The network is a formula
(see `network`) that the C++ test repeats in double precision; the noise is one too.
"""

import argparse
import json
import math
import pathlib
import warnings

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
)
from diffusers.schedulers import scheduling_dpmsolver_multistep as dpm_module
from diffusers.schedulers import scheduling_euler_ancestral_discrete as euler_a_module
from diffusers.utils import logging

CLASSES = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "pndm": PNDMScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
}
SHAPE = (2, 1, 2, 2)  # two images, so that per-image rules show
PREDICTIONS = ["epsilon", "v_prediction", "sample"]
SPACINGS = ["leading", "trailing", "linspace"]
BETAS = {
    "sd": {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
    "linear": {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}


def network(x: torch.Tensor, t: float) -> torch.Tensor:
    """A bounded answer that depends on every input, in double, rounded once."""
    j = torch.arange(x.numel(), dtype=torch.float64).reshape(x.shape)
    out = 0.4 * torch.tanh(x.double()) + 0.3 * torch.cos(0.7 * j + t / 250.0)
    return out.float()


def start(sigma: float) -> torch.Tensor:
    values = [np.float32(1.3 * math.sin(2.1 * j + 0.4)) for j in range(math.prod(SHAPE))]
    return torch.tensor(values, dtype=torch.float32).reshape(SHAPE) * np.float32(sigma)


class Noise:
    """Replaces randn_tensor: draw k is 1.2 sin(1.7 k + 0.9 j + 0.2)."""

    def __init__(self):
        self.draws = 0

    def __call__(self, shape, generator=None, device=None, dtype=None, **_):
        k, n = self.draws, math.prod(shape)
        self.draws += 1
        values = [np.float32(1.2 * math.sin(1.7 * k + 0.9 * j + 0.2)) for j in range(n)]
        return torch.tensor(values, dtype=torch.float32).reshape(tuple(shape))


def numbers(tensor) -> list[float]:
    return [float(f"{float(v):.9g}") for v in np.asarray(tensor, dtype=np.float32).flatten()]


def trajectory(scheduler, nudge: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents half-way and at the end. Each call's input and answer are off by `nudge` of
    themselves, and its result by half that of the input, which long steps leave little of. The
    signs take turns: rounding does not pull one way."""
    x, middle = start(float(scheduler.init_noise_sigma)), None
    for i, t in enumerate(scheduler.timesteps):
        nudge = -nudge
        x = x * np.float32(1 + nudge)
        out = network(scheduler.scale_model_input(x, t), float(t)) * np.float32(1 - nudge)
        x = scheduler.step(out, t, x, return_dict=False)[0] + x * np.float32(nudge / 2)
        if i == len(scheduler.timesteps) // 2:
            middle = x
    return middle, x


def run(name: str, config: dict, steps: int, karras: bool, begin: int | None = None) -> dict:
    overrides = {"use_karras_sigmas": True} if karras else {}
    ends = []
    for nudge in [0, 2**-23]:
        noise = Noise()
        euler_a_module.randn_tensor = dpm_module.randn_tensor = noise
        scheduler = CLASSES[name].from_config(dict(config), **overrides)
        scheduler.set_timesteps(steps)
        if begin is not None:
            scheduler.set_begin_index(begin)
        sigma = float(scheduler.init_noise_sigma)
        ends.append(trajectory(scheduler, nudge))
    (middle, x), nudged = ends
    if not torch.isfinite(x).all():
        raise ArithmeticError("not finite")
    times = numbers(scheduler.timesteps)
    entry = {"sigma": numbers([sigma])[0], "calls": len(times), "noises": noise.draws}
    # What one ulp at every call moves: long steps from high noise subtract nearly equal numbers.
    moved = max(float((a - b).abs().max()) for a, b in zip(ends[0], nudged))
    entry["ulp"] = float(f"{moved:.2g}")
    # Long runs keep the timesteps at both ends and their sum.
    entry["times"] = times if len(times) <= 24 else times[:4] + times[-4:]
    entry["time_sum"] = float(np.sum(np.asarray(times, dtype=np.float64)))
    return entry | {"middle": numbers(middle), "end": numbers(x)}


class Exporter:
    def __init__(self):
        self.configs, self.cases = [], []

    def add(self, name: str, config: dict, steps: int, karras: bool = False) -> None:
        if config not in self.configs:
            self.configs.append(config)
        case = {"config": self.configs.index(config), "sampler": name, "steps": steps}
        if karras:
            case["scheduler"] = "karras"
        try:
            try:
                case |= run(name, config, steps, karras)
            except IndexError:
                if name != "dpmpp_2m":
                    raise
                case |= run(name, config, steps, karras, begin=0)
        except (ValueError, IndexError, NotImplementedError, ArithmeticError) as error:
            case["error"] = f"{type(error).__name__}: {str(error)[:60]}"
        self.cases.append(case)

    def write(self, path: pathlib.Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in self.cases)
        configs = ",\n".join(json.dumps(config) for config in self.configs)
        path.write_text('{"configs":[\n%s\n],"cases":[\n%s\n]}\n' % (configs, lines))
        errors = sum("error" in case for case in self.cases)
        print(f"{path.name}: {len(self.cases)} cases, {errors} refused, {path.stat().st_size} bytes")


def config_of(name: str, **keys) -> dict:
    """The sampler's own class with `keys`; other keys stay absent."""
    return {"_class_name": CLASSES[name].__name__, "num_train_timesteps": 1000} | keys


def grid(name: str, karras: bool) -> Exporter:
    """Every prediction x spacing x betas, with step counts that take turns."""
    exporter = Exporter()
    # 61 steps of trailing make 62 calls; 7 and 61 do not divide 1000.
    counts = [1, 2, 5, 20, 61, 7, 50, 1000]
    turn = 0
    for prediction in PREDICTIONS:
        for spacing in SPACINGS:
            for betas in BETAS.values():
                for k in range(3):
                    config = config_of(name, prediction_type=prediction, timestep_spacing=spacing)
                    config |= betas | {"steps_offset": (turn + k) % 2}
                    if name == "ddim":
                        config["clip_sample"] = False
                    if name == "pndm":
                        config["skip_prk_steps"] = (turn // 3) % 3 != 0
                    exporter.add(name, config, counts[(turn + k) % len(counts)], karras)
                turn += 3 if karras else 5
    return exporter


def all_counts() -> Exporter:
    """Stable Diffusion 1.x's own file, run by every sampler at every kind of step count."""
    exporter = Exporter()
    config = config_of("pndm", **BETAS["sd"], skip_prk_steps=True, set_alpha_to_one=False)
    config |= {"steps_offset": 1, "clip_sample": False, "trained_betas": None}
    for name in CLASSES:
        for steps in [1, 2, 3, 4, 6, 9, 15, 28, 33, 77, 103, 250, 333, 501, 999, 1000]:
            exporter.add(name, config, steps)
            if name in ("euler", "dpmpp_2m"):
                exporter.add(name, config, steps, karras=True)
    return exporter


def variants() -> Exporter:
    """Keys that a checkpoint may set beyond the grid."""
    exporter = Exporter()
    sd = BETAS["sd"]
    zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    for name in CLASSES:
        for prediction in ["v_prediction", "epsilon"]:
            exporter.add(name, config_of(name, **sd, **zero, prediction_type=prediction), 10)
        # A file with no keys but the class: every default is the running class's.
        for other in CLASSES:
            exporter.add(name, config_of(other), 12)
        short = config_of(name, **sd, num_train_timesteps=100, timestep_spacing="trailing")
        for steps in [29, 58, 100]:
            exporter.add(name, short, steps)
        betas = [float(b) for b in np.linspace(0.002, 0.09, 50)]
        trained = config_of(name, trained_betas=betas, num_train_timesteps=50, clip_sample=False)
        exporter.add(name, trained, 9)
        exporter.add(name, config_of(name, **sd, use_karras_sigmas=True, skip_prk_steps=True), 8)
    for clip in [{"clip_sample": True}, {"clip_sample": True, "clip_sample_range": 0.5},
                 {"thresholding": True}, {"thresholding": True, "sample_max_value": 1.6},
                 {"thresholding": True, "dynamic_thresholding_ratio": 0.4, "sample_max_value": 3.0}]:
        for prediction in PREDICTIONS:
            exporter.add("ddim", config_of("ddim", **sd, **clip, prediction_type=prediction), 6)
            exporter.add("dpmpp_2m", config_of("dpmpp_2m", **sd, **clip, prediction_type=prediction), 6)
    for name in ["ddim", "pndm"]:
        for one in [False, True]:
            config = config_of(name, **sd, set_alpha_to_one=one, clip_sample=False)
            exporter.add(name, config, 11)
    for keys in [{"interpolation_type": "log_linear"}, {"final_sigmas_type": "sigma_min"},
                 {"timestep_type": "continuous", "prediction_type": "v_prediction"},
                 {"timestep_type": "continuous", "prediction_type": "v_prediction",
                  "interpolation_type": "log_linear"},
                 {"timestep_type": "continuous"}, {"sigma_min": 0.1, "sigma_max": 10.0},
                 {"prediction_type": "original_sample"}]:
        for karras in [False, True]:
            exporter.add("euler", config_of("euler", **sd, **keys), 9, karras)
    exporter.add("dpmpp_2m", config_of("euler", **sd, sigma_min=0.1, sigma_max=10.0), 9, karras=True)
    for algorithm in ["dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", "deis"]:
        for solver in ["midpoint", "heun", "bh2"]:
            for order in [1, 2, 3]:
                for steps in [6, 21]:
                    final = "sigma_min" if steps == 21 or algorithm[-1] != "+" else "zero"
                    config = config_of("dpmpp_2m", **sd, algorithm_type=algorithm, solver_type=solver,
                                       solver_order=order, final_sigmas_type=final)
                    if (algorithm, order) != ("sde-dpmsolver", 3):  # the reference has no rule
                        exporter.add("dpmpp_2m", config, steps, karras=steps == 21 and order == 2)
    for keys in [{"euler_at_final": True}, {"lower_order_final": False},
                 {"lower_order_final": False, "euler_at_final": True, "final_sigmas_type": "sigma_min"},
                 {"lower_order_final": False, "final_sigmas_type": "sigma_min"},
                 {"algorithm_type": "dpmsolver"}, {"lambda_min_clipped": -5.1}]:
        for betas in ["sd", "cosine"]:
            for spacing in SPACINGS:
                config = config_of("dpmpp_2m", **BETAS[betas], **keys, timestep_spacing=spacing)
                exporter.add("dpmpp_2m", config, 12)
    return exporter


def schedules() -> dict:
    """alphas_cumprod of each way to make betas: every 37th entry, both ends, and the sum."""
    result = []
    for keys in [BETAS["sd"], BETAS["linear"], BETAS["cosine"],
                 BETAS["sd"] | {"rescale_betas_zero_snr": True},
                 BETAS["linear"] | {"num_train_timesteps": 77},
                 BETAS["cosine"] | {"num_train_timesteps": 50},
                 {"trained_betas": [0.01, 0.02, 0.5], "num_train_timesteps": 3}]:
        table = DDIMScheduler(**keys).alphas_cumprod.numpy()
        positions = sorted({0, 1, len(table) - 2, len(table) - 1, *range(0, len(table), 37)})
        bits = table.view(np.uint32)[positions].tolist()
        total = float(table.astype(np.float64).sum())
        result.append({"config": keys, "positions": positions, "bits": bits, "sum": total})
    return {"schedules": result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = pathlib.Path(__file__).parents[2] / "tests/fixtures/samplers"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    out = parser.parse_args().out
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    for name in CLASSES:
        grid(name, karras=False).write(out / f"{name}.json")
    for name in ["euler", "dpmpp_2m"]:
        grid(name, karras=True).write(out / f"{name}_karras.json")
    all_counts().write(out / "step_counts.json")
    variants().write(out / "variants.json")
    (out / "schedules.json").write_text(json.dumps(schedules()) + "\n")


if __name__ == "__main__":
    main()
