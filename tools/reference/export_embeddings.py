"""Draws pictures with diffusers and textual inversions, for comparison with ours.

    python tools/reference/export_embeddings.py

Writes tests/fixtures/pipelines/<model>-embeddings: embeddings/*.safetensors (random vectors in the
forms that people share), and the pictures as export_pictures.py does.
"""

from contextlib import contextmanager

import numpy as np
import torch
from safetensors.torch import save_file

from common import (
    FIXTURE_MODELS,
    FIXTURE_PIPELINES,
    REPO,
    draw,
    load_pipeline,
    require_small,
    versions,
    write_json,
)
from export_pictures import REFINER, case

# Over any window, and cut inside an embedding: 74 tokens before it, 75 fit.
CUT = "a " * 74 + "brush"


def towers_of(pipe):
    """(key in a file for SDXL, tokenizer, encoder) of each text encoder."""
    found = [
        ("clip_l", getattr(pipe, "tokenizer", None), getattr(pipe, "text_encoder", None)),
        ("clip_g", getattr(pipe, "tokenizer_2", None), getattr(pipe, "text_encoder_2", None)),
    ]
    return [tower for tower in found if tower[2] is not None]


class Embeddings:
    """Writes files and gives the same vectors to a pipeline, under their names."""

    def __init__(self, pipe, folder):
        self.pipe, self.folder = pipe, folder
        self.towers = towers_of(pipe)
        self.random = torch.Generator("cpu").manual_seed(11)
        folder.mkdir(parents=True, exist_ok=True)

    def vectors(self, count, encoder):
        table = encoder.get_input_embeddings().weight
        values = torch.randn((count, table.shape[1]), generator=self.random)
        return values * table.std()

    def add(self, file, token, tensors):
        """`tensors` by key in the file; one for each tower, in order."""
        path = self.folder / f"{file}.safetensors"
        save_file(tensors, path)
        path.chmod(0o644)
        for (_, tokenizer, encoder), tensor in zip(self.towers, tensors.values(), strict=True):
            self.pipe.load_textual_inversion(
                {token: tensor.float()}, token=token, tokenizer=tokenizer, text_encoder=encoder
            )

    def add_single(self):
        """The forms of models with one encoder. In the order of file names, as ids are given."""
        (_, _, encoder) = self.towers[0]
        self.add("brush", "brush", {"emb_params": self.vectors(3, encoder)})
        self.add("cat", "<cat-toy>", {"<cat-toy>": self.vectors(1, encoder)[0]})
        self.add("mist", "mist", {"emb_params": self.vectors(2, encoder).half()})

    def add_by_tower(self):
        """SDXL's form: a key for each encoder, whichever the model has."""
        for name, count in (("brush", 3), ("cat-toy", 1), ("mist", 2)):
            tensors = {key: self.vectors(count, encoder) for key, _, encoder in self.towers}
            self.add(name, name, tensors)


@contextmanager
def scaled_embeddings(pipe, factor):
    """Every token's embedding times a factor, which stands for rounding."""
    tables = [encoder.get_input_embeddings().weight for _, _, encoder in towers_of(pipe)]
    kept = [table.detach().clone() for table in tables]
    for table in tables:
        table.data *= factor
    yield
    for table, values in zip(tables, kept, strict=True):
        table.data.copy_(values)


def cases(cat):
    """Pictures that name embeddings; `cat` is the name of the one with a single vector."""
    return [
        case("one-vector", "ddim", prompt=f"a {cat} on a boat", seed=3),
        case("several", "euler", prompt="a red brush, an apple", negative_prompt=cat, seed=4),
        case("both", "ddim", prompt=f"mist! {cat} brush", negative_prompt="mist", seed=5),
        case("inside-words", "ddim", prompt=f"my{cat}s and brushes, {cat.upper()}", seed=6),
        case("one-of-several", "euler", prompt="brush_2 and mist_1", seed=7),
        case("cut", "ddim", prompt=CUT, seed=8),
        case("negative-only", "ddim", prompt="apple", negative_prompt="mist brush", seed=9),
        case("clip-skip", "ddim", prompt=f"{cat} mist", clip_skip=1, seed=10),
    ]


def two_prompt_cases():
    """SDXL's encoders reading different texts, of different lengths, with and without a refiner."""
    two = {"prompt_2": "a brush", "negative_prompt": "mist", "negative_prompt_2": "blue sky"}
    more = {"prompt_2": "a red apple " * 8, "negative_prompt": None}
    return [
        case("two-prompts", "euler", prompt="a boat", seed=11, **two),
        case("two-positive", "ddim", prompt="cat-toy", seed=12, **more),
        case("negative-for-both", "ddim", **{**two, "negative_prompt_2": ""}, seed=13),
        case("two-refined", "euler", prompt="a boat", seed=14, **two, **REFINER),
    ]


def export(name, width, height):
    """Draws the cases of one model folder with and without the embeddings; stores the former."""
    model = FIXTURE_MODELS / name
    folder = FIXTURE_PIPELINES / f"{name}-embeddings"
    pipe, bare = load_pipeline(model), load_pipeline(model)
    embeddings = Embeddings(pipe, folder / "embeddings")
    single = hasattr(pipe, "tokenizer") and len(embeddings.towers) == 1 and "sdxl" not in name
    embeddings.add_single() if single else embeddings.add_by_tower()
    drawn = cases("<cat-toy>" if single else "cat-toy")
    drawn += two_prompt_cases() if name == "sdxl" else []
    pictures = {}
    for entry in drawn:
        entry.update(width=width, height=height, steps=5)
        pixels = draw(pipe, entry)
        change = np.abs(pixels.astype(int) - draw(bare, entry).astype(int)).mean()
        print(f"  {name} {entry['name']:16} changed by {change:.1f}")
        if change < 0.5:
            raise RuntimeError(f"{name}: {entry['name']} does not depend on its embeddings")
        with scaled_embeddings(pipe, 1 + 1e-6):
            noise = np.abs(pixels.astype(int) - draw(pipe, entry).astype(int)).mean()
        if noise > 0.1:
            raise RuntimeError(f"{name}: {entry['name']} amplifies rounding to {noise:.2f}")
        pictures[entry["name"]] = torch.from_numpy(pixels)
    save_file(pictures, folder / "pictures.safetensors")
    (folder / "pictures.safetensors").chmod(0o644)
    write_json(
        folder / "pictures.json",
        {
            "model": model.relative_to(REPO).as_posix(),
            "embeddings": (folder / "embeddings").relative_to(REPO).as_posix(),
            "versions": versions(),
            "pictures": drawn,
        },
    )
    require_small(folder)


def main():
    export("four-level", 40, 56)
    export("sdxl", 48, 40)
    # One tower, whose config names the wrong end-of-text id that SDXL's own files have: pooling
    # then takes the highest id, which is an embedding's.
    export("sdxl-distilled", 40, 48)


if __name__ == "__main__":
    main()
