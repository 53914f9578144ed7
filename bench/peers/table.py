"""The comparison table: one step, one decoding or one whole picture of SD 1.5's size, in every
program that can be had, measured in one run.

    python bench/peers/table.py --model FOLDER --programs ours-exact,ours-balanced,diffusers \\
        --repeat 5 --json bench/results/table-DATE.json

Every program is a process of its own that stays loaded. In each repetition they take turns, in an
order that turns by one place with each repetition; while one computes the others wait. The figure
is the ratio within a repetition, which survives a machine whose speed drifts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peer

import workload

HERE = Path(__file__).resolve().parent
OURS = ("ours-exact", "ours-balanced", "ours-fast")
# program.py's names; listed here so that this script needs none of their packages.
OTHERS = (
    "diffusers",
    "diffusers-compile",
    "openvino-f32",
    "openvino-bf16",
    "openvino-int8",
    "openvino-int8-bf16",
    "sdcpp-f16",
    "sdcpp-q8_0",
    "sdcpp-q4_0",
)
DEFAULT = "ours-exact,ours-balanced,diffusers,openvino-f32,openvino-int8,sdcpp-q8_0"
PARTS = ("step", "decode", "picture")


class Unavailable(Exception):
    """A program that cannot do its part here, and why."""


class Program(peer.Resident):
    """A resident process that may fail without ending the comparison."""

    def ask(self, word):
        try:
            answer = super().ask(word)
        except (SystemExit, BrokenPipeError) as error:
            raise Unavailable(str(error)) from error
        if answer.startswith("failed: "):
            raise Unavailable(answer.removeprefix("failed: "))
        return answer

    def expect(self, word):
        try:
            answer = self.read()
        except SystemExit as error:
            raise Unavailable(str(error)) from error
        if answer != word:
            raise Unavailable(answer.removeprefix("failed: "))

    def measure(self, part):
        return float(self.ask(part))

    def told(self):
        return {}

    def peak(self):
        return self.peak_rss_bytes()


class OurStep(Program):
    """bench/unet_step: steps and decodings of one profile."""

    def __init__(self, options, profile):
        command = [options.ours, "-m", options.model, "--profile", profile, "--batch", 2]
        command += ["--latent", options.latent, "--threads", options.threads, "--serve"]
        super().__init__(command)


class OurPicture:
    """A fresh `tintype txt2img` each time; its own timings leave out loading, as the others' do."""

    def __init__(self, options, profile):
        from common import tintype_command

        self.folder = tempfile.TemporaryDirectory()
        picture = Path(self.folder.name) / "picture.png"
        self.commands = {}
        for word, steps in (("picture", options.steps), ("warm", 1)):
            case = workload.picture_case(options, steps)
            command = tintype_command(options.tintype, options.model, case, picture)
            command += ["--json", "--threads", str(options.threads)]
            command += ["--profile", profile] if profile != "exact" else []
            self.commands[word] = command
        self.most_memory, self.with_load = 0, []

    def measure(self, word):
        start = time.perf_counter()
        run = subprocess.run(self.commands[word], capture_output=True, text=True, check=False)
        if word == "picture":
            self.with_load.append(time.perf_counter() - start)
        if run.returncode:
            raise Unavailable(run.stderr.strip())
        told = json.loads(run.stdout)
        self.most_memory = max(self.most_memory, told["peak_memory_bytes"])
        timings = told["timings"]
        return timings["encode_prompt_s"] + timings["denoise_s"] + timings["decode_s"]

    def told(self):
        return {"with_load_and_png_s": self.with_load}

    def peak(self):
        return self.most_memory

    def close(self):
        self.folder.cleanup()


class Other(Program):
    """A process of program.py."""

    def __init__(self, options, name):
        command = [sys.executable, HERE / "program.py", name, "--model", options.model]
        for flag in ("cache", "latent", "steps", "threads"):
            command += [f"--{flag}", getattr(options, flag)]
        for flag in ("sdcpp_flash", "sdcpp_direct"):
            command += ["--" + flag.replace("_", "-")] if getattr(options, flag) else []
        super().__init__(command)

    def told(self):
        return json.loads(self.ask("info"))


def start(options, name):
    if name not in OURS:
        return Other(options, name)
    profile = name.removeprefix("ours-")
    return OurPicture(options, profile) if "picture" in options.parts else OurStep(options, profile)


def warm(options, name, running, failed):
    """Starts a program and lets it do each part once (a picture of one step); a failure is kept as
    its reason."""
    print(f"{name}: loading and first pass", flush=True)
    began = time.perf_counter()
    try:
        running[name] = start(options, name)
        for part in options.parts:
            running[name].measure("warm" if part == "picture" else part)
        print(f"{name}: ready after {time.perf_counter() - began:.0f} s", flush=True)
    except (Unavailable, OSError) as error:
        failed[name] = str(error)
        print(f"{name}: cannot run here: {error}", flush=True)
        if name in running:
            running.pop(name).close()


def measure(options, running, failed):
    """Part -> program -> seconds of each repetition."""
    times = {part: {name: [] for name in running} for part in options.parts}
    for repetition in range(options.repeat):
        names = list(running)
        turn = repetition % max(len(names), 1)
        for name in names[turn:] + names[:turn]:
            try:
                for part in options.parts:
                    time.sleep(peer.REST_S)
                    times[part][name].append(running[name].measure(part))
            except Unavailable as error:
                failed[name] = str(error)
                running.pop(name).close()
        row = "  ".join(
            f"{part} {name} {times[part][name][-1]:.2f}" for part in options.parts for name in running
        )
        print(f"  repetition {repetition + 1}: {row} s", flush=True)
    return times


def ratios(seconds, base):
    """How many times as fast as `base`, repetition by repetition."""
    return [theirs / own for own, theirs in zip(seconds, base)]


def results(options, times, running, failed):
    table = {}
    for part in options.parts:
        rows = table[part] = {}
        for name in running:
            seconds = times[part][name]
            row = rows[name] = {**peer.spread(seconds), "all": seconds}
            row["faster_than"] = {
                other: peer.spread(ratios(seconds, times[part][other]))
                for other in running
                if other != name
            }
    return {
        "what": "SD 1.5, guidance on: " + ", ".join(options.parts),
        "latent": options.latent,
        "steps": options.steps,
        "repeat": options.repeat,
        "model": Path(options.model).name,
        "parts": table,
        "peak_rss_bytes": {name: program.peak() for name, program in running.items()},
        "told": {name: program.told() for name, program in running.items()},
        "unavailable": failed,
    }


def print_table(result, base):
    for part, rows in result["parts"].items():
        print(f"\n{part}, seconds (times as fast as {base}, spread)")
        for name, row in sorted(rows.items(), key=lambda item: item[1]["median"]):
            against = row["faster_than"].get(base)
            ratio = "" if against is None else "   {median:5.2f} ({min:.2f} to {max:.2f})".format(
                **against
            )
            memory = result["peak_rss_bytes"][name] / 1e9
            print(
                f"  {name:20} {row['median']:8.2f} ({row['min']:.2f} to {row['max']:.2f})"
                f"   {memory:5.2f} GB{ratio}"
            )
    for name, reason in result["unavailable"].items():
        print(f"  {name:20} cannot run here: {reason}")


def machine_peaks(options):
    """What `tintype bench machine` says just before, for shares of the peak."""
    run = subprocess.run(
        [options.tintype, "bench", "machine", "--json"], capture_output=True, text=True, check=False
    )
    return json.loads(run.stdout) if run.returncode == 0 else {"failed": run.stderr.strip()}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    workload.add_arguments(parser)
    parser.add_argument("--programs", default=DEFAULT, help=f"of {', '.join(OURS + OTHERS)}")
    parser.add_argument("--parts", default="step,decode", help="step, decode; or picture alone")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--ours", default="build/cpu/bench/unet_step")
    parser.add_argument("--tintype", default="build/cpu/apps/cli/tintype")
    parser.add_argument("--json", help="write the result here, by habit into bench/results/")
    options = parser.parse_args()
    options.parts = options.parts.split(",")
    options.programs = options.programs.split(",")
    for name in options.programs:
        if name not in OURS + OTHERS:
            parser.error(f"--programs must name {', '.join(OURS + OTHERS)}, got {name}")
    if set(options.parts) - set(PARTS) or ("picture" in options.parts and len(options.parts) > 1):
        parser.error(f"--parts must be picture alone, or of step,decode, got {options.parts}")
    if options.repeat < 1:
        parser.error(f"--repeat must be at least 1, got {options.repeat}")
    return options


def main():
    options = parse_arguments()
    running, failed = {}, {}
    peaks = machine_peaks(options)
    try:
        for name in options.programs:
            warm(options, name, running, failed)
        times = measure(options, running, failed)
        result = results(options, times, running, failed)
    finally:
        for program in running.values():
            program.close()
    base = "diffusers" if "diffusers" in result["told"] else next(iter(result["told"]), "")
    print_table(result, base)
    result = {**peer.header(), "machine_peaks": peaks, **result}
    print(f"machine: {result['machine']}")
    if options.json:
        peer.write(result, options.json)


if __name__ == "__main__":
    main()
