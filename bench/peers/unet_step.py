"""Times one denoising step of Stable Diffusion 1.5's size: ours beside diffusers in f32.

    python bench/peers/unet_step.py --model FOLDER --ours build/cpu/bench/unet_step --repeat 9

FOLDER comes from tools/reference/make_full_size.py. A step is one UNet forward pass at batch 2, as
guidance runs it. Both programs stay loaded; they take turns, and only one computes at a time.
"""

import argparse
import time

import peer

from common import torch, versions  # noqa: E402  (tools/reference, through peer)

import diffusers  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

WINDOW = 77


class Reference:
    """diffusers' UNet with the inputs of one step."""

    def __init__(self, options):
        torch.set_num_threads(options.threads or peer.cores())
        self.unet = diffusers.UNet2DConditionModel.from_pretrained(
            options.model, subfolder="unet", torch_dtype=torch.float32, local_files_only=True
        ).eval()
        generator = torch.Generator("cpu").manual_seed(0)
        config = self.unet.config
        side = options.latent
        self.latent = torch.randn((options.batch, 4, side, side), generator=generator)
        self.context = torch.randn(
            (options.batch, WINDOW, config.cross_attention_dim), generator=generator
        )
        if options.channels_last:
            self.unet = self.unet.to(memory_format=torch.channels_last)
            self.latent = self.latent.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(self):
        return self.unet(self.latent, 500, self.context, return_dict=False)[0]

    def seconds(self):
        start = time.perf_counter()
        output = self.forward()
        seconds = time.perf_counter() - start
        if not torch.isfinite(output).all():
            raise SystemExit("the reference's output must be finite; make the model again")
        return seconds

    def operations(self):
        """Multiplications and additions in one step, counted by PyTorch without computing them."""
        with torch.device("meta"):
            twin = diffusers.UNet2DConditionModel.from_config(self.unet.config)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            twin(self.latent.to("meta"), torch.tensor(500, device="meta"), self.context.to("meta"))
        return counter.get_total_flops()


def peak_operations_per_s(size=4096, repeats=3):
    """What this machine reaches on one large f32 matrix product: the practical ceiling."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    torch.mm(a, b, out=out)
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder with unet/")
    parser.add_argument("--ours", required=True, help="path of the unet_step program")
    parser.add_argument("--repeat", type=int, default=7, help="pairs to time (default 7)")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--latent", type=int, default=64, help="side of the latent")
    parser.add_argument("--threads", type=int, default=0, help="of diffusers; default all cores")
    parser.add_argument("--channels-last", action="store_true", help="diffusers in channels-last")
    parser.add_argument("--json", help="write the result here, by habit into bench/results/")
    options = parser.parse_args()
    if options.repeat < 1:
        parser.error(f"--repeat must be at least 1, got {options.repeat}")
    return options


def main():
    options = parse_arguments()
    command = [options.ours, "-m", options.model, "--batch", options.batch]
    command += ["--latent", options.latent, "--repeat", 1, "--serve"]
    # Ours starts first: a child of a large process would count that process's memory as its peak
    # where it asks getrusage, which remembers across exec.
    with peer.Resident(command) as resident:
        reference = Reference(options)
        parameters = sum(p.numel() for p in reference.unet.parameters())
        operations = reference.operations()
        peak = peak_operations_per_s()
        resident.ask("step")  # both warm: caches, allocators, primitive selection
        reference.seconds()
        times, ratios = peer.alternate(
            options.repeat, lambda: float(resident.ask("step")), reference.seconds
        )
        memory = int(resident.ask("memory"))
        memory_seen = resident.peak_rss_bytes()
    weights = parameters * 4
    result = {
        "what": "one UNet forward pass",
        "batch": options.batch,
        "latent": options.latent,
        "parameters": parameters,
        "operations": operations,
        "matmul_peak_operations_per_s": peak,
        "ours_peak_rss_bytes": memory,
        "ours_peak_rss_bytes_by_the_system": memory_seen,
        "ours_over_f32_weights_bytes": memory_seen - weights,
        "diffusers_memory_format": "channels_last" if options.channels_last else "contiguous",
        "versions": versions(),
    }
    result = peer.report(result, times, ratios, options.json)
    print(f"operations a step: {operations / 1e12:.3f} T; f32 matmul here: {peak / 1e9:.0f} G/s")
    for name, key in (("ours", "ours_s"), ("diffusers", "diffusers_s")):
        share = operations / result[key]["median"] / peak
        print(f"  {name}: {share:.0%} of that, limit {operations / peak:.3f} s")
    print(
        f"ours, peak resident: {memory_seen / 1e9:.2f} GB = f32 weights {weights / 1e9:.2f} GB "
        f"+ {(memory_seen - weights) / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
