"""Another program, kept loaded: answers `step`, `decode`, `picture`, `warm` (a picture of one step),
`info` or `quit` on standard input with one line each, as our own `unet_step --serve` does.

    python bench/peers/program.py openvino-int8 --model FOLDER --cache CACHE

bench/peers/table.py starts one process for each program, so that none shares memory or threads
with another and a program that cannot run here takes only its own rows with it.
"""

import argparse
import json
import os
import sys
import time
import traceback

import peer

import workload

# Answers go to the real standard output; libraries that print must not break the conversation.
ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


class Diffusers:
    """PyTorch in f32; `compiled` through torch.compile's default backend."""

    def __init__(self, options, compiled=False):
        from common import load_pipeline, torch, versions

        self.torch, self.options = torch, options
        torch.set_num_threads(options.threads or peer.cores())
        self.pipe = load_pipeline(options.model)
        self.latents, self.context = workload.inputs(options)
        self.unet, self.decoder = self.pipe.unet, self.pipe.vae.decode
        if compiled:
            # diffusers' loops keep calling these, so a whole picture uses them too.
            self.pipe.unet.forward = torch.compile(self.pipe.unet.forward)
            self.decoder = self.pipe.vae.decode = torch.compile(self.pipe.vae.decode)
        self.told = {"versions": versions(), "compiled": compiled}

    def step(self):
        with self.torch.inference_mode():
            start = time.perf_counter()
            out = self.unet(self.latents, 501, self.context, return_dict=False)[0]
            seconds = time.perf_counter() - start
        return self.finite(out, seconds)

    def decode(self):
        with self.torch.inference_mode():
            start = time.perf_counter()
            out = self.decoder(self.latents[:1], return_dict=False)[0]
            seconds = time.perf_counter() - start
        return self.finite(out, seconds)

    def picture(self, steps):
        from common import draw

        start = time.perf_counter()
        draw(self.pipe, workload.picture_case(self.options, steps))
        return time.perf_counter() - start

    def finite(self, out, seconds):
        if not self.torch.isfinite(out).all():
            raise RuntimeError("the output must be finite; make the model again")
        return seconds

    def info(self):
        return self.told


class OpenVino:
    """Models converted once into --cache. `weights`: f32 or int8 (NNCF, weights and activations);
    `precision`: the arithmetic of what is not int8."""

    def __init__(self, options, weights, precision):
        import openvino_models

        self.options = options
        self.models = openvino_models.Models(options, weights, precision)
        self.latents, self.context = (x.numpy() for x in workload.inputs(options))
        self.pipe = None

    def step(self):
        start = time.perf_counter()
        self.models.unet(self.latents, 501.0, self.context)
        return time.perf_counter() - start

    def decode(self):
        start = time.perf_counter()
        self.models.decode(self.latents[:1])
        return time.perf_counter() - start

    def picture(self, steps):
        from common import draw

        if self.pipe is None:
            self.pipe = self.models.pipeline()
        start = time.perf_counter()
        draw(self.pipe, workload.picture_case(self.options, steps))
        return time.perf_counter() - start

    def info(self):
        return self.models.told


class StableDiffusionCpp:
    """stable-diffusion.cpp through its Python binding. It has no call for a step or a decode alone:
    one short run gives both, the step from its progress reports (the second of two, guidance on:
    two passes of batch 1), the decode from its log."""

    def __init__(self, options, weights):
        import sdcpp

        self.options = options
        self.runner = sdcpp.Runner(options, weights)
        self.decoded = None

    def step(self):
        step_s, self.decoded, _ = self.runner.run(2)
        return step_s

    def decode(self):
        if self.decoded is None:
            self.step()
        seconds, self.decoded = self.decoded, None
        return seconds

    def picture(self, steps):
        return self.runner.run(steps)[2]

    def info(self):
        return self.runner.told


PROGRAMS = {
    "diffusers": Diffusers,
    "diffusers-compile": lambda o: Diffusers(o, compiled=True),
    "openvino-f32": lambda o: OpenVino(o, "f32", "f32"),
    "openvino-bf16": lambda o: OpenVino(o, "f32", "bf16"),
    "openvino-int8": lambda o: OpenVino(o, "int8", "f32"),
    "openvino-int8-bf16": lambda o: OpenVino(o, "int8", "bf16"),
    "sdcpp-f16": lambda o: StableDiffusionCpp(o, "f16"),
    "sdcpp-q8_0": lambda o: StableDiffusionCpp(o, "q8_0"),
    "sdcpp-q4_0": lambda o: StableDiffusionCpp(o, "q4_0"),
}


def answer(text):
    ANSWERS.write(text + "\n")
    ANSWERS.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", choices=PROGRAMS)
    workload.add_arguments(parser)
    options = parser.parse_args()
    try:
        program = PROGRAMS[options.program](options)
        answer("ready")
        for line in sys.stdin:
            word = line.strip()
            if word == "quit":
                break
            if word in ("picture", "warm"):
                answer(repr(program.picture(options.steps if word == "picture" else 1)))
            elif word in ("step", "decode"):
                answer(repr(getattr(program, word)()))
            elif word == "info":
                answer(json.dumps(program.info()))
            else:
                raise RuntimeError(f"must be asked a word that it knows, got {word}")
    except Exception as error:  # whoever asks shall read why, in one line
        traceback.print_exc()
        answer("failed: " + " ".join(f"{type(error).__name__}: {error}".split()))
        sys.exit(1)


if __name__ == "__main__":
    main()
