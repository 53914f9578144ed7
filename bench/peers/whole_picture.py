"""Times one whole picture: `tintype txt2img` beside diffusers' pipeline in f32.

    python bench/peers/whole_picture.py --model FOLDER --ours build/cpu/apps/cli/tintype

Both are timed from the prompt to the pixels, without loading: ours by the timings that its --json
prints (a fresh process each time), diffusers by its pipeline call with the model kept in memory.
Our whole time with loading and the PNG is printed beside it. Ours and diffusers take turns.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import peer

from common import (  # noqa: E402  (tools/reference, through peer)
    SAMPLERS,
    difference,
    draw,
    load_pipeline,
    np,
    tintype_command,
    torch,
    versions,
)

from PIL import Image  # noqa: E402


class Ours:
    """Runs the program afresh for each picture and keeps what it tells of each run."""

    def __init__(self, binary, model, case, folder):
        self.output = Path(folder) / "ours.png"
        self.command = tintype_command(binary, model, case, self.output) + ["--json"]
        self.whole, self.memory = [], []

    def seconds(self):
        start = time.perf_counter()
        run = subprocess.run(self.command, capture_output=True, text=True, check=False)
        whole = time.perf_counter() - start
        if run.returncode != 0:
            raise SystemExit(f"{self.command[0]} ended with {run.returncode}: {run.stderr.strip()}")
        told = json.loads(run.stdout)
        self.whole.append(whole)
        self.memory.append(told["peak_memory_bytes"])
        timings = told["timings"]
        return timings["encode_prompt_s"] + timings["denoise_s"] + timings["decode_s"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder in diffusers layout")
    parser.add_argument("--ours", required=True, help="path of the tintype program")
    parser.add_argument("--repeat", type=int, default=3, help="pairs to time (default 3)")
    parser.add_argument("--prompt", default="red apple")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--sampler", choices=SAMPLERS, default="ddim")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", help="write the result here, by habit into bench/results/")
    options = parser.parse_args()
    if options.repeat < 1:
        parser.error(f"--repeat must be at least 1, got {options.repeat}")
    return options


def main():
    options = parse_arguments()
    case = {
        key: getattr(options, key)
        for key in ("prompt", "width", "height", "steps", "guidance", "sampler", "seed")
    }
    case.update({"name": "whole picture", "negative_prompt": "", "scheduler": ""})
    torch.set_num_threads(peer.cores())
    pipe = load_pipeline(options.model)
    pictures = []

    def theirs():
        start = time.perf_counter()
        pictures.append(draw(pipe, case))
        return time.perf_counter() - start

    with tempfile.TemporaryDirectory() as scratch:
        ours = Ours(options.ours, options.model, case, scratch)
        ours.seconds()  # warm: the files are in the system's cache for both
        theirs()
        ours.whole.clear()
        times, ratios = peer.alternate(options.repeat, ours.seconds, theirs)
        drawn = np.asarray(Image.open(ours.output).convert("RGB"))
    mean, most = difference(drawn, pictures[-1])
    result = {
        "what": "one picture, prompt to pixels",
        "case": case,
        "ours_with_load_s": peer.spread(ours.whole),
        "ours_peak_rss_bytes": max(ours.memory),
        "mean_difference_255": mean,
        "greatest_difference_255": most,
        "versions": versions(),
    }
    result = peer.report(result, times, ratios, options.json)
    print(peer.line("ours with loading and PNG", result["ours_with_load_s"], "s"))
    print(f"ours, peak resident: {max(ours.memory) / 1e9:.2f} GB")
    print(f"the two pictures differ by {mean:.4f}/255 on average, {most}/255 at most")


if __name__ == "__main__":
    main()
