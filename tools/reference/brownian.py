"""Our Brownian path in numpy, so that diffusers' stochastic solvers can be run on the same noise.

Their own path (torchsde's) has the same law and other numbers. The numbers here are those of
src/samplers/diffusion/brownian_path.cpp: bisection of [0, end], normals from philox4x32-10.
"""

import numpy as np
import torch

DEPTH = 30
WORD = np.uint64(0xFFFFFFFF)
# A1111's Box-Muller constants, float32.
UNIT = float(np.float32(2.3283064e-10))
TURN = float(np.float32(2.3283064e-10 * 6.2831855))


def philox(counter, key):
    """Ten rounds on four arrays of 32-bit words held in uint64."""
    c0, c1, c2, c3 = counter
    low, high = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (second >> np.uint64(32)) ^ c1 ^ np.uint64(low),
            second & WORD,
            (first >> np.uint64(32)) ^ c3 ^ np.uint64(high),
            first & WORD,
        )
        low, high = (low + 0x9E3779B9) & 0xFFFFFFFF, (high + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def normal(radius, angle):
    u = radius.astype(np.float64) * UNIT + UNIT / 2
    v = angle.astype(np.float64) * TURN + TURN / 2
    return (np.sqrt(-2.0 * np.log(u)) * np.sin(v)).astype(np.float32).astype(np.float64)


class BrownianPath:
    """One image's path, keyed by the first draw [1,C,H,W] of a run after its start noise."""

    def __init__(self, draw, largest_sigma):
        self.shape = draw.shape
        self.end = 16.0
        while self.end < largest_sigma:
            self.end *= 2
        self.key = 0xCBF29CE484222325
        for word in draw.permute(0, 2, 3, 1).contiguous().numpy().view(np.uint32).ravel().tolist():
            self.key = (self.key ^ word) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF

    def normals(self, depth, index):
        count = self.shape.numel()
        blocks = np.arange((count + 1) // 2, dtype=np.uint64)
        same = np.ones_like(blocks)
        words = philox(
            (blocks, same * np.uint64(depth), same * np.uint64(index & 0xFFFFFFFF),
             same * np.uint64(index >> 32)),
            self.key,
        )
        return np.stack([normal(*words[:2]), normal(*words[2:])], axis=1).ravel()[:count]

    def at(self, sigma):
        low = np.zeros(self.shape.numel())
        high = self.normals(0, 0) * np.sqrt(self.end)
        begin, stop, index = 0.0, self.end, 0
        for depth in range(1, DEPTH + 1):
            if sigma in (begin, stop):
                break
            centre = (begin + stop) / 2
            deviation = np.sqrt(stop - begin) / 2
            middle = (low + high) / 2 + deviation * self.normals(depth, index)
            right = sigma >= centre
            if right:
                low, begin = middle, centre
            else:
                high, stop = middle, centre
            index = 2 * index + int(right)
        w = (sigma - begin) / (stop - begin)
        return (1 - w) * low + w * high

    def between(self, start, to):
        """Increment of unit variance, [1,C,H,W]."""
        start, to = float(start), float(to)
        scale = 1 / np.sqrt(abs(to - start)) if to != start else 0.0
        noise = ((self.at(to) - self.at(start)) * scale).astype(np.float32)
        _, channels, height, width = self.shape
        return torch.from_numpy(noise.reshape(1, height, width, channels)).permute(0, 3, 1, 2)


def attach(scheduler, seed, latent_shape, draws=1):
    """Makes a DPMSolverMultistep (stochastic) or DPMSolverSDE scheduler draw from our path.

    `draws`: how many of that shape the pipeline makes before the first step.
    """
    stream = torch.Generator("cpu").manual_seed(seed)
    for _ in range(draws):  # the start noise; before and after it, latents of given pictures
        torch.randn(latent_shape, generator=stream)
    draw = torch.randn(latent_shape, generator=stream)
    own_step = scheduler.step
    path = []

    def step(model_output, timestep, sample, generator=None, return_dict=True):
        sigmas = scheduler.sigmas
        if not path:
            path.append(BrownianPath(draw, float(sigmas.max())))
        if hasattr(scheduler, "noise_sampler"):
            scheduler.noise_sampler = path[0].between
            return own_step(model_output, timestep, sample, return_dict=return_dict)
        if scheduler.step_index is None:
            scheduler._init_step_index(timestep)
        i = scheduler.step_index
        noise = path[0].between(sigmas[i], sigmas[i + 1])
        return own_step(model_output, timestep, sample, variance_noise=noise,
                        return_dict=return_dict)

    scheduler.step = step
