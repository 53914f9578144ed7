"""stable-diffusion.cpp: the model as one file, one run's times."""

import re
import time
from importlib.metadata import version
from pathlib import Path

import peer

import workload

import stable_diffusion_cpp  # noqa: E402
from stable_diffusion_cpp import _logger  # noqa: E402


def single_file(model, cache):
    """The checkpoint as one f16 safetensors file under the original names; made once."""
    file = Path(cache) / "sdcpp" / "model-f16.safetensors"
    if not file.exists():
        from common import load_pipeline, torch
        from original_layout import original_tensors, parts_of
        from single_files import write_safetensors

        file.parent.mkdir(parents=True, exist_ok=True)
        pipe = load_pipeline(model)
        tensors = original_tensors(pipe, parts_of(pipe, "sd1"), torch.Generator().manual_seed(0))
        unfinished = file.with_suffix(".part")
        write_safetensors(unfinished, tensors, "f16")
        unfinished.rename(file)
    return file


class Runner:
    def __init__(self, options, weights):
        self.options = options
        self.log = []
        self.callback = stable_diffusion_cpp.sd_log_callback(
            lambda level, text, data: self.log.append(text.decode("utf-8", errors="replace"))
        )
        self.flags = {
            "wtype": weights,
            "n_threads": options.threads or peer.cores(),
            "diffusion_flash_attn": options.sdcpp_flash,
            "diffusion_conv_direct": options.sdcpp_direct,
            "vae_conv_direct": options.sdcpp_direct,
        }
        self.model = stable_diffusion_cpp.StableDiffusion(
            model_path=str(single_file(options.model, options.cache)),
            vae_decode_only=True,
            **self.flags,
        )
        _logger.set_verbose(True)
        stable_diffusion_cpp.sd_set_log_callback(self.callback, None)
        self.told = {
            "versions": {"stable-diffusion-cpp-python": version("stable-diffusion-cpp-python")},
            "weights": weights,
            "flags": self.flags,
            "system": stable_diffusion_cpp.sd_get_system_info().decode().split("\n"),
        }

    def run(self, steps):
        """Seconds of the last step, of the decoding, and of the whole call."""
        self.log.clear()
        step_s = []
        side = 8 * self.options.latent
        start = time.perf_counter()
        self.model.generate_image(
            prompt=workload.PROMPT,
            negative_prompt=workload.NEGATIVE,
            width=side,
            height=side,
            cfg_scale=7.5,
            sample_method="euler",
            sample_steps=steps,
            seed=7,
            progress_callback=lambda step, of, seconds: step_s.append((step, of, seconds)),
        )
        whole = time.perf_counter() - start
        sampled = [seconds for step, of, seconds in step_s if of == steps and step == steps]
        log = "".join(self.log)
        decoded = re.findall(r"decode_first_stage completed, taking ([0-9.]+)", log)
        if not sampled or not decoded:
            raise RuntimeError(
                f"must report {steps} steps and a decoding, got {step_s} and: {log[-400:]}"
            )
        return sampled[0], float(decoded[-1]), whole
