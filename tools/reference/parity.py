"""Draws the same pictures with diffusers in f32 and with our program, and compares them.

    python tools/reference/parity.py folder MODEL [MODEL ...] [--quick]
    python tools/reference/parity.py random [--count 20] [--seed 1] [--keep FOLDER]
    python tools/reference/parity.py table [--seeds 1 2] [--page docs/parity.md]

`folder` walks a grid of samplers, sizes and prompts over given checkpoints. `random` makes models
of random structure on the fly and draws random requests with them: for people looking for trouble.
`table` walks family x sampler x form (folder, single file, GGUF) and writes the page that says how
far apart they are.
Exit code 1 when a picture differs by more than 0.5/255 on average, or ours fails to draw one that
the reference draws. Requests that the reference itself refuses are listed and not counted.
"""

import argparse
import itertools
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from common import (
    KARRAS_SAMPLERS,
    REPO,
    difference,
    draw,
    load_pipeline,
    samplers_for,
    tintype_command,
)
from families import FAMILIES
from family_table import run_table
from model_writer import write_model
from random_models import random_case, random_spec

MEAN_LIMIT = 0.5  # in 1/255, the project's bar for every picture

# An absent negative prompt is something else than an empty one where a checkpoint says so.
PROMPTS = [("red apple", None), ("Ünïcödé 🦊 in 東京, naïve ½", "blue, it's noisy")]


class Tally:
    """Compares picture by picture, prints a row for each, and counts."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = Path(folder)
        self.worst = 0.0
        self.compared = self.failed = self.refused = 0

    def compare(self, model, pipe, case):
        """True when both sides agree."""
        label = (
            f"{Path(model).name:22} {case['sampler']:9}{case['scheduler']:7} "
            f"{case['width']}x{case['height']} steps {case['steps']} g {case['guidance']}"
        )
        output = self.folder / "ours.png"
        output.unlink(missing_ok=True)
        command = tintype_command(self.binary, model, case, output)
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            expected = draw(pipe, case)
        except Exception as error:  # whatever the reference raises, it drew nothing to compare with
            self.refused += 1
            print(f"{label}  the reference refuses: {type(error).__name__}: {error}"[:160])
            return True
        self.compared += 1
        if run.returncode != 0:
            return self.fail(f"{label}  exit code {run.returncode}: {run.stderr.strip()}", command)
        mean, most = difference(expected, np.asarray(Image.open(output).convert("RGB")))
        self.worst = max(self.worst, mean)
        row = f"{label}  mean {mean:.4f} max {most}"
        if mean > MEAN_LIMIT:
            return self.fail(row, command)
        print(row, flush=True)
        return True

    def fail(self, row, command):
        self.failed += 1
        print(f"{row}  FAILED\n    {shlex.join(command)}", flush=True)
        return False

    def finish(self):
        print(
            f"{self.compared} pictures compared, {self.failed} failed, {self.refused} refused by "
            f"the reference; greatest mean difference {self.worst:.4f} (1/255, limit {MEAN_LIMIT})"
        )
        return 1 if self.failed or not self.compared else 0


def grid(pipe, quick):
    """Requests over a checkpoint: its own size and a turned one, every sampler and spacing."""
    unit = max(8, pipe.vae_scale_factor)
    side = pipe.unet.config.sample_size
    rows, columns = (side, side) if isinstance(side, int) else side
    height, width = rows * pipe.vae_scale_factor, columns * pipe.vae_scale_factor
    square = (max(unit, width // unit * unit), max(unit, height // unit * unit))
    sizes = [square, (square[0] + 2 * unit, max(unit, square[1] - unit))]
    texts = PROMPTS
    if quick:
        sizes, texts = sizes[1:], texts[:1]
    prediction = pipe.folder_scheduler_config.get("prediction_type", "epsilon")
    for sampler in samplers_for(prediction):
        spacings = ["", "karras"] if sampler in KARRAS_SAMPLERS else [""]
        for spacing, (w, h), (prompt, negative) in itertools.product(spacings, sizes, texts):
            yield {
                "name": sampler,
                "prompt": prompt,
                "negative_prompt": negative,
                "width": w,
                "height": h,
                "steps": 6 if quick else 10,
                "guidance": 3.0,
                "sampler": sampler,
                "scheduler": spacing,
                "seed": 7,
            }


def run_folders(options, tally):
    for model in options.models:
        pipe = load_pipeline(model)
        for case in grid(pipe, options.quick):
            tally.compare(model, pipe, case)


def run_random(options, tally):
    for seed in range(options.seed, options.seed + options.count):
        model = Path(options.keep or tally.folder) / f"random-{seed}"
        write_model(model, random_spec(seed))
        pipe = load_pipeline(model)
        prediction = pipe.folder_scheduler_config.get("prediction_type", "epsilon")
        rng = Random(seed)
        agreed = True
        for index in range(options.cases):
            case = random_case(rng, pipe, index, samplers_for(prediction), KARRAS_SAMPLERS)
            agreed = tally.compare(model, pipe, case) and agreed
        if not agreed and not options.keep:
            print(f"    keep this model: parity.py random --seed {seed} --count 1 --keep FOLDER")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tintype", default=REPO / "build" / "cpu" / "apps" / "cli" / "tintype",
                        type=Path, help="our program")
    modes = parser.add_subparsers(required=True)
    folder = modes.add_parser("folder", help="checkpoints that exist")
    folder.add_argument("models", nargs="+", type=Path)
    folder.add_argument("--quick", action="store_true", help="one size and one prompt")
    folder.set_defaults(run=run_folders)
    chance = modes.add_parser("random", help="models of random structure")
    chance.add_argument("--count", type=int, default=20, help="models")
    chance.add_argument("--cases", type=int, default=3, help="pictures of each")
    chance.add_argument("--seed", type=int, default=1, help="of the first model")
    chance.add_argument("--keep", type=Path, help="write the models here and leave them")
    chance.set_defaults(run=run_random)
    table = modes.add_parser("table", help="family x sampler x form")
    table.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="of the models")
    table.add_argument("--families", nargs="+", choices=FAMILIES, help="default: all")
    table.add_argument("--samplers", nargs="+", default=[], help="default: all")
    table.add_argument("--results", type=Path, help="JSON to add to and to write the page from")
    table.add_argument("--page", type=Path, help="write the tables as Markdown here")
    table.add_argument("--limit", type=float, default=MEAN_LIMIT, help="mean allowed, in 1/255")
    table.set_defaults(run=run_table)
    options = parser.parse_args()
    if not options.tintype.is_file():
        parser.error(f"--tintype must be our program, got {options.tintype}: build it first")
    with tempfile.TemporaryDirectory() as scratch:
        tally = Tally(options.tintype, scratch)
        options.run(options, tally)
        sys.exit(tally.finish())


if __name__ == "__main__":
    main()
