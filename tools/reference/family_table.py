"""parity.py's `table`: family x sampler x form, each picture beside diffusers' in f32.

Forms are a diffusers folder, a single safetensors file in the original layout and a GGUF file. Their
storage types take turns over the samplers and seeds; the reference always has the very values that
the file holds.
"""

import datetime
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import families
import original_layout
import single_files
from common import difference, draw, load_pipeline, tintype_command, versions
from model_writer import write_model

# Sampler and spacing of noise levels: all that diffusers also has.
ROWS = [
    ("ddim", ""),
    ("ddpm", ""),
    ("pndm", ""),
    ("lms", ""),
    ("lms", "karras"),
    ("euler", ""),
    ("euler", "karras"),
    ("euler", "beta"),
    ("euler_a", ""),
    ("heun", ""),
    ("heun", "exponential"),
    ("dpm2", ""),
    ("dpm2", "karras"),
    ("dpm2_a", ""),
    ("dpmpp_2m", ""),
    ("dpmpp_2m", "karras"),
    ("dpmpp_2m", "exponential"),
    ("dpmpp_2m_sde", ""),
    ("dpmpp_2m_sde", "karras"),
    ("dpmpp_sde", ""),
    ("dpmpp_sde", "karras"),
    ("unipc", ""),
    ("unipc", "beta"),
    ("deis", ""),
    ("deis", "karras"),
    ("lcm", ""),
    ("tcd", ""),
]
REFINER_ROWS = [("ddim", ""), ("euler", ""), ("euler_a", "")]
FORMS = {
    "folder": ("f16", "f32", "bf16"),
    "single file": tuple(single_files.FLOATS),
    "GGUF": single_files.GGUF_TYPES,
}
PROMPTS = [
    "red apple",
    "ein Überraschungs-Café 🦊 in 東京, naïve ½ Straße!",
    "a panda! in 2 boats, it's noisy",
    "Ελληνικά и кириллица, हिन्दी, 👩‍🚀",
]
NEGATIVES = [None, "blue, noisy", "", "naïve 木"]
SIZES = [(72, 56), (40, 88), (64, 104), (88, 48)]


def case_for(family, row, index, seed):
    """What is asked for in this cell, the same for every form."""
    sampler, spacing = row
    turbo = family == "SDXL Turbo"
    width, height = SIZES[(index + seed) % len(SIZES)]
    steps = 4 if sampler in ("lcm", "tcd") else 5 + (index + seed) % 4
    return {
        "name": f"{sampler}-{spacing}",
        "prompt": PROMPTS[(index + seed) % len(PROMPTS)],
        "negative_prompt": None if turbo else NEGATIVES[(index // 2 + seed) % len(NEGATIVES)],
        "width": width,
        "height": height,
        "steps": 2 + index % 3 if turbo else steps,
        "guidance": 0.0 if turbo else [2.0, 3.5, 7.5][index % 3],
        "sampler": sampler,
        "scheduler": spacing,
        "seed": 1000 * seed + index,
    }


class Model:
    """A family's random model in one form after another: our file and the reference with its values."""

    def __init__(self, family, seed, scratch):
        self.layout, self.schedule = families.FAMILIES[family]
        self.family, self.seed = family, seed
        self.folder = Path(scratch) / "model"
        self.spec = families.family_spec(family, seed)
        self.scratch = Path(scratch)
        self.load("f32")
        self.parts = original_layout.parts_of(self.pipe, self.layout)
        generator = torch.Generator("cpu").manual_seed(seed)
        self.tensors = original_layout.original_tensors(self.pipe, self.parts, generator)

    def load(self, dtype):
        shutil.rmtree(self.folder, ignore_errors=True)
        store = {part: {**how, "dtype": dtype} for part, how in self.spec["store"].items()}
        write_model(self.folder, {**self.spec, "store": store})
        self.pipe = load_pipeline(self.folder)

    def tokenizer_flags(self):
        """Both folders, or for one seed in two only the first: its padding differs by tower."""
        folders = [self.folder / name for name in ("tokenizer", "tokenizer_2")]
        folders = [folder for folder in folders if folder.is_dir()]
        chosen = folders[:1] if self.seed % 2 == 0 else folders
        return [word for folder in chosen for word in ("--tokenizer", str(folder))]

    def single_flags(self):
        flags = self.tokenizer_flags()
        told = self.family == "SD 2.x v, zero SNR"  # by marker tensors
        if self.layout == "sd2" and not told:
            flags += ["--prediction", self.schedule["prediction_type"]]
        if self.family == "SDXL Turbo":
            flags += ["--timestep-spacing", "trailing"]
        return flags

    def store(self, form, storage):
        """Writes our file. Returns its path and the flags that go with it."""
        if form == "folder":
            self.load(storage)
            return self.folder, []
        markers = ("v_pred", "ztsnr") if self.family == "SD 2.x v, zero SNR" else ()
        if form == "GGUF":
            file = self.scratch / "model.gguf"
            # Both spellings: as in the file that was converted, and stable-diffusion.cpp's own.
            converted = self.layout != "refiner" and storage in ("F16", "Q4_0", "Q5_1", "BF16")
            held = single_files.write_gguf(file, self.tensors, storage, converted, markers)
        else:
            file = self.scratch / "model.safetensors"
            held = single_files.write_safetensors(file, self.tensors, storage, markers)
        original_layout.load_original(self.pipe, self.parts, held)
        return file, self.single_flags()


def compare(binary, model, path, flags, case, base=None, base_path=None):
    """One cell's measurement. `base`: the model that `model` refines, stored at `base_path`."""
    output = model.scratch / "ours.png"
    output.unlink(missing_ok=True)
    flags = [*flags, "--threads", str(torch.get_num_threads())]
    if base is None:
        command = tintype_command(binary, path, case, output) + flags
        reference, second = model.pipe, None
    else:
        case = {**case, "refiner": str(path), "refiner_start": 0.5}
        command = tintype_command(binary, base_path, case, output)
        command += flags
        reference, second = base.pipe, model.pipe
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        expected = draw(reference, case, second)
    except Exception as error:  # whatever the reference raises, it drew nothing to compare with
        ours = "draws" if run.returncode == 0 else f"exit code {run.returncode}: {run.stderr.strip()}"
        return {"refused": f"{type(error).__name__}: {error}"[:200], "ours": ours[-200:]}
    if run.returncode != 0:
        return {"failed": run.stderr.strip()[-300:]}
    ours = np.asarray(Image.open(output).convert("RGB"))
    mean, most = difference(expected, ours)
    return {"mean": mean, "max": most, "spread": float(expected.std())}


def key_of(family, row, form, seed):
    return "|".join([family, " ".join(row).strip(), form, str(seed)])


def measure(binary, family, seed, scratch, results, only=()):
    """Fills what `results` (key "family|row|form|seed") lack for one family and seed."""
    model = Model(family, seed, scratch)
    base = None
    rows = ROWS
    if model.layout == "refiner":
        rows = REFINER_ROWS
        (Path(scratch) / "base").mkdir(exist_ok=True)
        base = Model("SDXL", seed, Path(scratch) / "base")
    for form, storages in FORMS.items():
        for turn, storage in enumerate(storages):
            mine = [i for i in range(len(rows)) if (i + seed) % len(storages) == turn]
            mine = [i for i in mine if key_of(family, rows[i], form, seed) not in results]
            mine = [i for i in mine if not only or rows[i][0] in only]
            if not mine:
                continue
            path, flags = model.store(form, storage)
            base_path = base.folder if base else None
            if base and form != "folder":
                # Both in files: the refiner's takes the base's last tokenizer.
                base_path, flags = base.store("single file", "f32")
            for i in mine:
                case = case_for(family, rows[i], i, seed)
                cell = compare(binary, model, path, flags, case, base, base_path)
                key = key_of(family, rows[i], form, seed)
                results[key] = {**cell, "storage": storage}
                print(key, results[key], flush=True)


def text_of(cells):
    """A cell of the table: the worst over the seeds."""
    if not cells:
        return ""
    if any("failed" in cell for cell in cells):
        return "**fails**"
    drawn = [cell for cell in cells if "mean" in cell]
    if not drawn:
        return "refused by diffusers"
    return f"{max(c['mean'] for c in drawn):.4f} / {max(c['max'] for c in drawn)}"


def page(results, command):
    """docs/parity.md from all results."""
    found = {tuple(key.split("|")): cell for key, cell in results.items()}
    seeds = sorted({key[3] for key in found}, key=int)

    def cells(family, row, form):
        return [found[k] for s in seeds if (k := (family, row, form, s)) in found]

    drawn = [cell for cell in found.values() if "mean" in cell]
    refused = sum("refused" in cell for cell in found.values())
    failed = sum("failed" in cell for cell in found.values())
    used = versions()
    lines = [
        "# Pictures beside diffusers",
        "",
        f"Written by `{command}` on {datetime.date.today().isoformat()}; diffusers "
        f"{used['diffusers']}, transformers {used['transformers']}, torch {used['torch']}, numpy "
        f"{used['numpy']}, all in "
        "f32 on the CPU.",
        "",
        f"{len(drawn)} pictures compared, {failed} failed, {refused} refused by diffusers; greatest "
        f"mean difference {max(c['mean'] for c in drawn):.4f}/255, greatest single one "
        f"{max(c['max'] for c in drawn)}/255.",
        "",
        "Each cell: mean / greatest difference of a channel, in 1/255, the worst of seeds "
        f"{', '.join(seeds)}. Each seed is",
        "another random-weight model (widths such as 96 and 160, one or two layers a level), and "
        "another request:",
        "sizes that are not square, Unicode prompts, an absent, empty or written negative prompt, "
        "guidance 2 to 7.5.",
        "",
        f"- folder: diffusers layout, stored as {', '.join(FORMS['folder'])} in turn",
        f"- single file: original layout, safetensors, {', '.join(FORMS['single file'])} in turn",
        f"- GGUF: {', '.join(FORMS['GGUF'])} in turn, names of the original layout or of "
        "stable-diffusion.cpp",
        "",
        "The reference has the dequantised values that the file holds. `dpmpp_2m_sde` and "
        "`dpmpp_sde` run on our",
        "Brownian path in both programs (`tools/reference/brownian.py`): the numbers of torchsde's "
        "differ by definition.",
        "A Brownian path is rough: read one ulp of sigma further on, it moves diffusers' own picture by "
        "0.08 to 0.11",
        "of mean difference, which is what these rows show under v-prediction. SDXL's `ddim` clips its "
        "picture, since its",
        "schedule does not say otherwise; one ulp in the network's first weights moves diffusers' own "
        "picture by 0.03 there,",
        "and by 0.08 through the refiner.",
        "",
        "SDXL Turbo is SDXL on trailing timesteps, in two to four steps without guidance; its single "
        "files are drawn with",
        "`--timestep-spacing trailing`.",
        "",
        "## In short",
        "",
        f"| family | {' | '.join(FORMS)} |",
        "|---|" + "---|" * len(FORMS),
    ]
    for family in families.FAMILIES:
        texts = [text_of([c for k, c in found.items() if k[0] == family and k[2] == form])
                 for form in FORMS]
        if any(texts):
            lines.append(f"| {family} | {' | '.join(texts)} |")
    for family in families.FAMILIES:
        rows = [" ".join(row).strip() for row in ROWS]
        rows = [row for row in rows if any(cells(family, row, form) for form in FORMS)]
        if not rows:
            continue
        lines += ["", f"## {family}", "", f"| sampler | {' | '.join(FORMS)} |",
                  "|---|" + "---|" * len(FORMS)]
        lines += [f"| {row} | {' | '.join(text_of(cells(family, row, form)) for form in FORMS)} |"
                  for row in rows]
    return "\n".join(lines) + "\n"


def run_table(options, tally):
    """The mode of parity.py. Results are kept in a file, so that a run can be taken up again."""
    results = {}
    if options.results and options.results.is_file():
        results = json.loads(options.results.read_text())
    for seed in options.seeds:
        for family in options.families or families.FAMILIES:
            scratch = tally.folder / "table"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            measure(options.tintype, family, seed, scratch, results, options.samplers)
            if options.results:
                options.results.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    for cell in results.values():
        tally.compared += "refused" not in cell
        tally.refused += "refused" in cell
        tally.failed += "failed" in cell or cell.get("mean", 0) > options.limit
        tally.worst = max(tally.worst, cell.get("mean", 0))
    if options.page:
        options.page.write_text(page(results, "tools/reference/parity.py table"))
