"""Writes tests/fixtures/samplers/philox.json: PyTorch's GPU normals as A1111 draws them on the CPU.

An implementation of its own in Python integers (philox4x32-10 from the paper), with numpy only for
the last transform, whose promotion rules the web UI's numbers depend on. For seed 0 PyTorch on a
GPU starts with -0.9247, -0.4253, -2.6438, 0.1452.
"""

import argparse
import json
import pathlib

import numpy as np

MASK = 0xFFFFFFFF


def philox(counter: list[int], key: list[int]) -> list[int]:
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & MASK,
                   (a >> 32) ^ counter[3] ^ key[1], a & MASK]
        key = [(key[0] + 0x9E3779B9) & MASK, (key[1] + 0xBB67AE85) & MASK]
    return counter


def normals(seed: int, call: int, count: int) -> np.ndarray:
    words = [philox([call, 0, j, 0], [seed & MASK, seed >> 32]) for j in range(count)]
    scale = np.array([2.3283064e-10], dtype=np.float32)
    angle = np.array([2.3283064e-10 * 6.2831855], dtype=np.float32)
    x, y = (np.array([w[k] for w in words], dtype=np.uint32) for k in (0, 1))
    u, v = x * scale + scale / 2, y * angle + angle / 2
    return (np.sqrt(-2.0 * np.log(u)) * np.sin(v)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = pathlib.Path(__file__).parents[2] / "tests/fixtures/samplers/philox.json"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    out = parser.parse_args().out
    # Known answers of the paper's own test vectors.
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([MASK] * 4, [MASK] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert np.allclose(normals(0, 0, 4), [-0.9247, -0.4253, -2.6438, 0.1452], atol=5e-5)
    streams = []
    for seed in [0, 1, 42, 2**32, 2**63 + 5, 2**64 - 1]:
        draws = [[float(f"{v:.9g}") for v in normals(seed, call, n)]
                 for call, n in enumerate([4, 17, 3])]
        streams.append({"seed": str(seed), "draws": draws})
    out.write_text(json.dumps({"streams": streams}) + "\n")


if __name__ == "__main__":
    main()
