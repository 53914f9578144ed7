"""Writes tests/fixtures/samplers/more_*.json: the samplers beyond export_samplers.py's five.

diffusers' schedulers where it has them; k-diffusion's functions for dpmpp_2s_a and dpmpp_3m_sde (its
sampling.py alone is loaded: the package wants training libraries); restart and the spacings of
ComfyUI are written here after their papers and published formulas. The form of a case, the network and the noise are those
of export_samplers.py, and the SDE samplers' noise is the same formula, so that C++ injects it.
"""

import argparse
import importlib.util
import pathlib
import sys
import types
import warnings

import export_samplers as base
import numpy as np
import torch
from diffusers import (
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import (
    scheduling_ddpm,
    scheduling_deis_multistep,
    scheduling_dpmsolver_multistep,
    scheduling_dpmsolver_sde,
    scheduling_k_dpm_2_ancestral_discrete,
    scheduling_lcm,
    scheduling_tcd,
)
from diffusers.utils import logging

CLASSES = {
    "ddpm": DDPMScheduler,
    "lms": LMSDiscreteScheduler,
    "heun": HeunDiscreteScheduler,
    "dpm2": KDPM2DiscreteScheduler,
    "dpm2_a": KDPM2AncestralDiscreteScheduler,
    "dpmpp_2m_sde": DPMSolverMultistepScheduler,
    "dpmpp_sde": DPMSolverSDEScheduler,
    "unipc": UniPCMultistepScheduler,
    "deis": DEISMultistepScheduler,
    "lcm": LCMScheduler,
    "tcd": TCDScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
}
DRAWING_MODULES = [scheduling_ddpm, scheduling_dpmsolver_multistep, scheduling_lcm, scheduling_tcd,
                   scheduling_k_dpm_2_ancestral_discrete]
FLAGS = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas",
         "beta": "use_beta_sigmas"}
NUDGE = 2**-23


def round_correctly() -> None:
    """Roots, logarithms and exponentials of float32 by way of float64: torch's and numpy's own err
    by an ulp, differently on each machine, and differences of nearly equal levels magnify it."""
    def through_double(function):
        def replaced(x, *args):
            wide = function(x.double(), *args)
            return wide.to(x.dtype) if x.is_floating_point() else wide
        return replaced

    power = torch.Tensor.__pow__
    for name in ["log", "exp", "expm1", "sqrt"]:
        function = through_double(getattr(torch.Tensor, name))
        setattr(torch.Tensor, name, function)
        setattr(torch, name, function)
    torch.Tensor.__pow__ = lambda x, e: (x.sqrt() if isinstance(e, float) and e == 0.5
                                         else power(x, e))

    class Numpy:
        def __getattr__(self, name):
            return getattr(np, name)

        @staticmethod
        def log(x):
            return x.log() if isinstance(x, torch.Tensor) else np.log(x)

    scheduling_deis_multistep.np = Numpy()


def k_sampling():
    """k_diffusion/sampling.py without its package."""
    where = pathlib.Path(importlib.util.find_spec("k_diffusion").submodule_search_locations[0])
    package = types.ModuleType("k_diffusion")
    package.__path__ = [str(where)]
    utils = types.ModuleType("k_diffusion.utils")
    utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]
    ode = types.ModuleType("torchdiffeq")
    ode.odeint = None
    sys.modules |= {"k_diffusion": package, "k_diffusion.utils": utils, "torchdiffeq": ode}
    package.utils = utils
    spec = importlib.util.spec_from_file_location("k_diffusion.sampling", where / "sampling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def summary(ends, sigma, times, draws) -> dict:
    """The entry that sampler_reference_test.cpp reads; `ends` without and with nudges."""
    (middle, x), nudged = ends
    if not torch.isfinite(x).all():
        raise ArithmeticError("not finite")
    moved = max(float((a - b).abs().max()) for a, b in zip(ends[0], nudged))
    entry = {"sigma": base.numbers([sigma])[0], "calls": len(times), "noises": draws,
             "ulp": float(f"{moved:.2g}"),
             "times": times if len(times) <= 24 else times[:4] + times[-4:],
             "time_sum": float(np.sum(np.asarray(times, dtype=np.float64)))}
    return entry | {"middle": base.numbers(middle), "end": base.numbers(x)}


def run_diffusers(name: str, config: dict, steps: int, spacing: str) -> dict:
    overrides = {FLAGS[spacing]: True} if spacing else {}
    if spacing:
        overrides = {flag: False for flag in FLAGS.values()} | overrides
    if name == "dpmpp_2m_sde":
        overrides["algorithm_type"] = "sde-dpmsolver++"
    ends = []
    # DEIS divides by a small alpha and multiplies by the next, several roundings of large numbers.
    for nudge in [0, NUDGE * (4 if name == "deis" else 1)]:
        noise = base.Noise()
        for module in DRAWING_MODULES:
            module.randn_tensor = noise
        scheduler = CLASSES[name].from_config(dict(config), **overrides)
        scheduler.set_timesteps(steps)
        if name == "dpmpp_sde":
            scheduler.noise_sampler = lambda a, b: noise(base.SHAPE)
        times = scheduler.timesteps
        if hasattr(scheduler, "set_begin_index") and int((times == times[0]).sum()) > 1:
            scheduler.set_begin_index(0)  # else the run starts at the second of the two and fails
        sigma = float(scheduler.init_noise_sigma)
        ends.append(base.trajectory(scheduler, nudge))
    return summary(ends, sigma, base.numbers(times), noise.draws)


# ------------------------------------------------------------------ runs over plain lists of sigmas


def table_sigmas(config: dict) -> np.ndarray:
    scheduler = EulerDiscreteScheduler.from_config(dict(config))
    return np.array(((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5)


def comfy_sigmas(kind: str, table: np.ndarray, steps: int, sdxl: bool) -> np.ndarray:
    """The spacings of ComfyUI and k-diffusion, from their published formulas."""
    logs = np.log(table.astype(np.float64))
    last = len(table) - 1
    at = lambda t: np.exp(np.interp(t, np.arange(len(table)), logs))
    if kind == "normal":
        return at(torch.linspace(last, 0, steps).numpy())
    if kind == "sgm_uniform":
        return at(torch.linspace(last, 0, steps + 1).numpy()[:-1])
    if kind == "simple":
        stride = len(table) / steps
        return np.array([table[-(1 + int(x * stride))] for x in range(steps)])
    if kind == "polyexponential":
        return K.get_sigmas_polyexponential(steps, float(table[0]), float(table[-1])).numpy()[:-1]
    levels = {False: [14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177,
                      1.3943805092, 0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662,
                      0.0291671582],
              True: [14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945,
                     0.8620721141, 0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177,
                     0.0291671582]}[sdxl]
    ramp = np.interp(np.linspace(0, 10, steps + 1), np.arange(11), np.log(levels))
    return np.exp(ramp)[:-1]


def position(sigma: float, table: np.ndarray, whole: bool) -> float:
    t = float(np.interp(np.log(sigma), np.log(table.astype(np.float64)), np.arange(len(table))))
    return float(np.round(t)) if whole else t


class Denoiser:
    """The network as k-diffusion sees one: a picture from x at sigma. Records what it was asked."""

    def __init__(self, config, table, whole, nudge):
        self.prediction, self.table = config.get("prediction_type", "epsilon"), table
        self.whole, self.nudge, self.times, self.inputs = whole, nudge, [], []

    def __call__(self, x, sigma):
        sigma = sigma.flatten()[0]
        self.inputs.append(x)
        self.nudge = -self.nudge
        x = x * np.float32(1 + self.nudge)
        t = np.float32(position(float(sigma), self.table, self.whole))
        self.times.append(float(t))
        seen = x / (sigma**2 + 1) ** 0.5
        out = base.network(seen, float(t)) * np.float32(1 - self.nudge)
        if self.prediction == "sample":
            return out
        if self.prediction == "v_prediction":
            return out * (-sigma / (sigma**2 + 1) ** 0.5) + x / (sigma**2 + 1)
        return x - sigma * out


def karras(count: int, low: float, high: float) -> list[float]:
    """Karras spacing in float64, its ends exactly those given."""
    ramp = np.linspace(high ** (1 / 7), low ** (1 / 7), count) ** 7
    return [float(np.float32(v)) for v in [high, *ramp[1:-1], *[low] * (count > 1)]]


def sample_restart(model, x, sigmas, noise):
    """Restart sampling with A1111's automatic segments (see restart.cpp)."""
    n = len(sigmas) - 1
    times = 2 if n >= 36 else int(n >= 20)
    again = n // 4 if n >= 36 else 9
    jump = None
    if times:
        levels = karras(n - again * times, float(sigmas[-2]), float(sigmas[0]))
        sigmas = torch.tensor([*levels, 0.0], dtype=torch.float32)
        low, high = (int((sigmas - level).abs().argmin()) for level in (0.1, 2.0))
        if high < low:
            jump = torch.tensor(karras(again + 1, float(sigmas[low]), float(sigmas[high])))
    pairs = []
    for i in range(len(sigmas) - 1):
        pairs.append((sigmas[i], sigmas[i + 1]))
        if jump is not None and i + 1 == low:
            pairs += list(zip(jump[:-1], jump[1:])) * times
    at = None
    for start, end in pairs:
        if at is not None and at < start:
            x = x + noise(x.shape) * (start**2 - at**2) ** 0.5
        d = (x - model(x, start)) / start
        euler = x + d * (end - start)
        if end > 0:
            x = x + (d + (euler - model(euler, end)) / end) / 2 * (end - start)
        else:
            x = euler
        at = end
    return x


def run_sigmas(name: str, config: dict, steps: int, spacing: str, sdxl: bool = False) -> dict:
    table = table_sigmas(config)
    euler = EulerDiscreteScheduler.from_config(
        dict(config), **({FLAGS[spacing]: True} if spacing in FLAGS else {}))
    euler.set_timesteps(steps)
    sigmas, start_sigma = euler.sigmas, float(euler.init_noise_sigma)
    whole = bool(spacing) and spacing not in FLAGS
    if whole:
        sigmas = torch.tensor([*comfy_sigmas(spacing, table, steps, sdxl), 0], dtype=torch.float32)
        start_sigma = float((sigmas.max() ** 2 + 1) ** 0.5)
    ends = []
    for nudge in [0, NUDGE]:
        noise = base.Noise()
        model = Denoiser(config, table, whole, nudge)
        draw = lambda a, b: noise(base.SHAPE)
        x = base.start(start_sigma)
        function = {
            "dpmpp_2s_a": lambda: K.sample_dpmpp_2s_ancestral(model, x, sigmas, disable=True,
                                                              noise_sampler=draw),
            "dpmpp_3m_sde": lambda: K.sample_dpmpp_3m_sde(model, x, sigmas, disable=True,
                                                          noise_sampler=draw),
            "dpmpp_sde": lambda: K.sample_dpmpp_sde(model, x, sigmas, disable=True,
                                                    noise_sampler=draw),
            "restart": lambda: sample_restart(model, x, sigmas, noise),
            "euler": lambda: K.sample_euler(model, x, sigmas, disable=True),
            "heun": lambda: K.sample_heun(model, x, sigmas, disable=True),
            "lms": lambda: K.sample_lms(model, x, sigmas, disable=True),
            "dpm2": lambda: K.sample_dpm_2(model, x, sigmas, disable=True),
        }[name]
        end = function()
        calls = len(model.times)
        middle = model.inputs[calls // 2 + 1] if calls // 2 + 1 < calls else end
        ends.append((middle, end))
    return summary(ends, start_sigma, base.numbers(model.times), noise.draws)


class Exporter(base.Exporter):
    def add(self, name: str, config: dict, steps: int, spacing: str = "", runner=run_diffusers,
            **keys) -> None:
        if config not in self.configs:
            self.configs.append(config)
        case = {"config": self.configs.index(config), "sampler": name, "steps": steps} | keys
        if spacing:
            case["scheduler"] = spacing
        try:
            case |= runner(name, config, steps, spacing, **keys)
        except (ValueError, IndexError, NotImplementedError, ArithmeticError,
                torch.linalg.LinAlgError) as error:
            if name == "dpm2_a" and isinstance(error, ArithmeticError):
                return  # NaN by rounding, the root of a difference below zero: ours goes on
            case["error"] = f"{type(error).__name__}: {str(error)[:60]}"
        self.cases.append(case)


def config_of(name: str, **keys) -> dict:
    return {"_class_name": CLASSES[name].__name__, "num_train_timesteps": 1000} | keys


def diffusers_grid(name: str) -> Exporter:
    """Every prediction x spacing x betas; the schedules of sigma take turns where there are any."""
    exporter = Exporter()
    counts = [1, 2, 5, 20, 61, 7, 50] if name not in ("lcm", "tcd") else [1, 2, 4, 8, 20, 50, 51]
    spacings = ["", "karras", "", "exponential", "", "beta"]
    if name in ("ddpm", "lcm", "tcd"):
        spacings = [""]
    turn = 0
    for prediction in base.PREDICTIONS:
        for spacing in base.SPACINGS:
            for betas in base.BETAS.values():
                for _ in range(2):
                    config = config_of(name, prediction_type=prediction, timestep_spacing=spacing)
                    config |= betas | {"steps_offset": turn % 2, "clip_sample": False}
                    exporter.add(name, config, counts[turn % len(counts)],
                                 spacings[turn % len(spacings)])
                    turn += 1
    # Files of Stable Diffusion 1.x and 2.x, and one with no keys: every default is the class's.
    sd = base.BETAS["sd"]
    files = [config_of(name, **sd, clip_sample=False, skip_prk_steps=True, set_alpha_to_one=False,
                       steps_offset=1, trained_betas=None),
             config_of(name, **sd, clip_sample=False, steps_offset=1,
                       prediction_type="v_prediction"),
             config_of(name)]
    for config in files:
        for steps in [1, 2, 3, 4, 9, 15, 20, 33]:
            for spacing in sorted(set(spacings)):
                exporter.add(name, config, steps, spacing)
    for prediction in ["v_prediction", "epsilon"]:
        zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        exporter.add(name, config_of(name, **sd, **zero, prediction_type=prediction,
                                     clip_sample=False), 10)
    short = config_of(name, num_train_timesteps=50, clip_sample=False,
                      trained_betas=[float(b) for b in np.linspace(0.002, 0.09, 50)])
    exporter.add(name, short, 9)
    exporter.add(name, config_of(name, **sd, sigma_min=0.1, sigma_max=10.0, clip_sample=False), 9,
                 spacings[1 % len(spacings)])
    for keys in VARIANTS.get(name, []):
        for steps in [4, 10, 20]:
            exporter.add(name, config_of(name, **sd, **keys), steps)
            if len(spacings) > 1:
                exporter.add(name, config_of(name, **sd, **keys), steps, "karras")
    return exporter


CLIPS = [{"clip_sample": True}, {"clip_sample": True, "clip_sample_range": 0.5},
         {"thresholding": True}, {"thresholding": True, "sample_max_value": 1.6}]
VARIANTS = {
    "ddpm": CLIPS + [{"variance_type": kind, "clip_sample": False} for kind in
                     ["fixed_small", "fixed_small_log", "fixed_large"]] + [{}],
    "heun": CLIPS[:2],
    "dpmpp_2m_sde": [{"solver_order": order, "solver_type": solver, "final_sigmas_type": final}
                     for order in [1, 2, 3] for solver in ["midpoint", "heun"]
                     for final in ["zero", "sigma_min"]],
    "unipc": [{"solver_order": order, "solver_type": solver, "final_sigmas_type": "sigma_min",
               "predict_x0": x0} for order in [1, 2, 3] for solver in ["bh1", "bh2"]
              for x0 in [True, False]]
             + [{"solver_order": 3}, {"lower_order_final": False, "final_sigmas_type": "sigma_min"},
                {"disable_corrector": [0, 3]}, {"thresholding": True, "sample_max_value": 1.6},
                {"solver_type": "midpoint"}, {"solver_type": "magic"}],
    "deis": [{"solver_order": order, "lower_order_final": lower} for order in [1, 2, 3]
             for lower in [True, False]]
            + [{"algorithm_type": "dpmsolver++", "solver_type": "midpoint"},
               {"thresholding": True, "sample_max_value": 1.6}, {"algorithm_type": "sde-dpmsolver"}],
    "lcm": CLIPS + [{"original_inference_steps": 25}, {"timestep_scaling": 3.0},
                    {"original_inference_steps": 2000}],
    "tcd": CLIPS + [{"original_inference_steps": 25}],
}


def sigma_runs() -> Exporter:
    """dpmpp_2s_a, dpmpp_3m_sde and restart, and ComfyUI's spacings with samplers of sigma."""
    exporter = Exporter()
    sd = base.BETAS["sd"]
    configs = [{"_class_name": "PNDMScheduler", "num_train_timesteps": 1000, **sd,
                "prediction_type": prediction, "timestep_spacing": spacing, "steps_offset": 1}
               for prediction in base.PREDICTIONS for spacing in base.SPACINGS]
    for name in ["dpmpp_2s_a", "dpmpp_3m_sde", "restart"]:
        for k, config in enumerate(configs):
            for spacing in ["", "karras", "exponential", "beta"]:
                for steps in ([1, 2, 5, 20, 50] if name != "restart" else [2, 19, 20, 33, 40]):
                    if name == "dpmpp_3m_sde" and steps == 1:
                        continue  # k-diffusion reads a length before it has one
                    if (k + steps) % 2 == 0 or not spacing:
                        exporter.add(name, config, steps, spacing, runner=run_sigmas)
    for spacing in ["normal", "simple", "sgm_uniform", "polyexponential", "ays"]:
        for sdxl in ([False, True] if spacing == "ays" else [False]):
            for name in ["euler", "heun", "lms", "dpm2", "dpmpp_2s_a", "dpmpp_3m_sde"]:
                for steps in [2, 5, 10, 20, 33] + [1] * (name != "dpmpp_3m_sde"):
                    prediction = ["epsilon", "v_prediction"][steps % 2]
                    config = next(c for c in configs if c["prediction_type"] == prediction)
                    exporter.add(name, config, steps, spacing, runner=run_sigmas,
                                 **({"sdxl": True} if sdxl else {}))
    return exporter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = pathlib.Path(__file__).parents[2] / "tests/fixtures/samplers"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    round_correctly()
    for name in ["ddpm", "lms", "heun", "dpm2", "dpm2_a", "dpmpp_2m_sde", "dpmpp_sde", "unipc",
                 "deis", "lcm", "tcd"]:
        if not args.only or name in args.only:
            diffusers_grid(name).write(args.out / f"more_{name}.json")
    if not args.only or "sigma_runs" in args.only:
        sigma_runs().write(args.out / "more_sigma_runs.json")
    if not args.only or "spacings" in args.only:
        exporter = Exporter()
        for name in ["euler", "dpmpp_2m"]:
            for keys in [{}, {"prediction_type": "v_prediction", "timestep_spacing": "trailing"},
                         {"beta_schedule": "squaredcos_cap_v2"},
                         {"sigma_min": 0.1, "sigma_max": 10.0}]:
                for spacing in ["exponential", "beta"]:
                    for steps in [1, 2, 5, 20, 61]:
                        config = config_of(name, **(base.BETAS["sd"] | keys))
                        exporter.add(name, config, steps, spacing)
        exporter.add("euler", config_of("euler", use_karras_sigmas=True, use_beta_sigmas=True), 5)
        exporter.add("euler", config_of("euler", use_exponential_sigmas=True), 5)
        exporter.add("dpmpp_2m", config_of("euler", use_beta_sigmas=True), 5)
        exporter.write(args.out / "more_spacings.json")


K = k_sampling()
if __name__ == "__main__":
    main()
