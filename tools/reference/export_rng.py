"""Writes tests/fixtures/rng/randn.json: torch.randn of the CPU generator for many seeds and sizes.

Each stream is one generator asked for several sizes in turn. Short answers are stored as the bits
of every number, long ones as a 64-bit FNV-1a hash of their bytes. The reference bits are those of
a machine with AVX2 or AVX-512, whose vectorised kernel differs from torch's plain one by an ulp.
"""

import argparse
import json
import pathlib

import numpy as np
import torch

SEEDS = [0, 1, 42, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 1]
MIXED = [3, 5, 1, 16, 7, 20, 1, 1, 33, 15, 4 * 8 * 8, 2]
STORED_WHOLE = 20


def fnv1a(data: bytes) -> str:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def draw(generator: torch.Generator, size: int) -> dict:
    values = torch.randn(size, generator=generator).numpy()
    entry = {"size": size, "hash": fnv1a(values.tobytes())}
    if size <= STORED_WHOLE:
        entry["bits"] = values.view(np.uint32).tolist()
    return entry


def stream(seed: int, sizes: list[int]) -> dict:
    generator = torch.Generator().manual_seed(seed)
    # Seeds exceed what JSON integers carry safely everywhere, hence text.
    return {"seed": str(seed), "draws": [draw(generator, size) for size in sizes]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = pathlib.Path(__file__).parents[2] / "tests/fixtures/rng/randn.json"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    out = parser.parse_args().out
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        raise SystemExit("needs a machine with AVX2: torch draws other bits elsewhere")
    streams = [stream(seed, MIXED) for seed in SEEDS]
    streams += [stream(7, [size]) for size in range(1, 41)]
    streams += [stream(42, [4 * 64 * 64, 100003, 5, 4 * 64 * 64]), stream(2**40 + 3, [100003])]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"torch": torch.__version__, "streams": streams}) + "\n")


if __name__ == "__main__":
    main()
