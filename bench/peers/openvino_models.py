"""SD 1.5 in OpenVINO: conversion of diffusers' modules, NNCF's quantisation, compiled models."""

from pathlib import Path

import peer

import workload
from common import load_pipeline, torch, versions

import nncf  # noqa: E402
import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402

# Random samples for NNCF. The speed of the result does not depend on the ranges that it finds, so
# few and small ones do; a comparison of pictures would need real ones.
SAMPLES, SAMPLE_SIDE = 4, 16


class Unet(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, latents, timestep, context):
        return self.unet(latents, timestep, context, return_dict=False)[0]


class Decoder(torch.nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, latents):
        return self.vae.decode(latents, return_dict=False)[0]


def unet_sample(generator, side):
    return {
        "latents": torch.randn((2, 4, side, side), generator=generator).numpy(),
        "timestep": np.float32(torch.randint(1, 1000, (1,), generator=generator).item()),
        "context": torch.randn((2, workload.WINDOW, 768), generator=generator).numpy(),
    }


def decoder_sample(generator, side):
    return {"latents": torch.randn((1, 4, side, side), generator=generator).numpy()}


class Models:
    def __init__(self, options, weights, precision):
        self.options, self.weights = options, weights
        self.core = ov.Core()
        self.config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": str(options.threads or peer.cores()),
        }
        self.cache = Path(options.cache) / "openvino"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.compiled = {}
        self.told = {
            "versions": {**versions(), "openvino": ov.__version__, "nncf": nncf.__version__},
            "weights": weights,
            "config": self.config,
        }

    def f32_file(self, part):
        """Converted from the PyTorch module, any picture size."""
        file = self.cache / f"{part}-f32.xml"
        if file.exists():
            return file
        pipe = load_pipeline(self.options.model)
        batch = 2 if part == "unet" else 1
        latents = torch.zeros((batch, 4, SAMPLE_SIDE, SAMPLE_SIDE))
        with torch.inference_mode():
            if part == "unet":
                example = {
                    "latents": latents,
                    "timestep": torch.tensor(501.0),
                    "context": torch.zeros((batch, workload.WINDOW, 768)),
                }
                module = Unet(pipe.unet)
            else:
                example, module = {"latents": latents}, Decoder(pipe.vae)
            shapes = [list(value.shape) for value in example.values()]
            shapes[0][2:] = [-1, -1]
            model = ov.convert_model(
                module.eval(),
                example_input=example,
                input=[(name, shape) for name, shape in zip(example, shapes)],
            )
        ov.save_model(model, file, compress_to_fp16=False)
        return file

    def int8_file(self, part):
        """NNCF's post-training quantisation of weights and activations."""
        file = self.cache / f"{part}-int8.xml"
        if file.exists():
            return file
        generator = torch.Generator("cpu").manual_seed(1)
        sample = unet_sample if part == "unet" else decoder_sample
        samples = [sample(generator, SAMPLE_SIDE) for _ in range(SAMPLES)]
        model = self.core.read_model(self.f32_file(part))
        quantised = nncf.quantize(
            model,
            nncf.Dataset(samples),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=SAMPLES,
            model_type=nncf.ModelType.TRANSFORMER if part == "unet" else None,
            # Ranges of random inputs say nothing; leaving these passes out changes no kernel.
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                disable_bias_correction=True,
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=-1),
            ),
        )
        ov.save_model(quantised, file, compress_to_fp16=False)
        return file

    def get(self, part):
        if part not in self.compiled:
            file = self.int8_file(part) if self.weights == "int8" else self.f32_file(part)
            model = self.core.read_model(file)
            side = self.options.latent
            shapes = {"latents": [2 if part == "unet" else 1, 4, side, side]}
            if part == "unet":
                shapes.update({"timestep": [], "context": [2, workload.WINDOW, 768]})
            model.reshape({model.input(name): shape for name, shape in shapes.items()})
            self.compiled[part] = self.core.compile_model(model, "CPU", self.config)
        return self.compiled[part]

    def finite(self, out):
        if not np.isfinite(out).all():
            raise RuntimeError("the output must be finite; make the model again")
        return out

    def unet(self, latents, timestep, context):
        inputs = {"latents": latents, "timestep": np.float32(timestep), "context": context}
        return self.finite(self.get("unet")(inputs)[0])

    def decode(self, latents):
        return self.finite(self.get("decoder")({"latents": latents})[0])

    def pipeline(self):
        """diffusers' loop with OpenVINO's network and decoder; text encoder and sampler are
        PyTorch's (a few per cent of the time)."""
        pipe = load_pipeline(self.options.model)

        def unet(latents, timestep, encoder_hidden_states=None, **_):
            out = self.unet(latents.numpy(), float(timestep), encoder_hidden_states.numpy())
            return (torch.from_numpy(out),)

        def decode(latents, **_):
            return (torch.from_numpy(self.decode(latents.numpy())),)

        pipe.unet.forward, pipe.vae.decode = unet, decode
        return pipe
