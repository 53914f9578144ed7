"""Writes fixtures for the storage types that are widened when they are read, with the reference's
values: torch's 8-bit floats, and the gguf package's dequantised blocks (pip install gguf).

The K formats are filled with random bytes, since the package only reads them; their scales are kept
small so that every value is finite.

    usage: export_storage.py [--out tests/fixtures/weights]
"""

import argparse
from pathlib import Path

import common  # noqa: F401  (first: keeps diffusers offline and quiet)
import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import save_file

ROWS, COLUMNS = 3, 512
QUANTIZED = [Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q2_K, Type.Q3_K, Type.Q4_K,
             Type.Q5_K, Type.Q6_K]
# Byte offsets of the f16 scales in a block of each format.
SCALES = {Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
          Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2],
          Type.Q6_K: [208]}


def random_blocks(kind, rng):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (ROWS * COLUMNS // elements, size), dtype=np.uint8)
    for offset in SCALES[kind]:
        scales = rng.normal(0, 0.01, len(blocks)).astype(np.float16)
        blocks[:, offset:offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(ROWS, -1)


def export_gguf(out, rng):
    writer = gguf.GGUFWriter(out / "storage.gguf", "sd1")
    writer.add_string("general.name", "fixture")
    writer.add_array("fixture.words", ["a", "bc", ""])
    writer.add_array("fixture.numbers", [1, 2, 3])
    expected = {}
    plain = rng.normal(size=(5, 3, 2, 1)).astype(np.float32)
    writer.add_tensor("plain.f32", plain)
    expected["plain.f32"] = plain
    half = plain.astype(np.float16)
    writer.add_tensor("plain.f16", half)
    expected["plain.f16"] = half.astype(np.float32)
    brain = (plain.view(np.uint32) >> 16).astype(np.uint16)
    writer.add_tensor("plain.bf16", brain.view(np.uint8).reshape(5, 3, 2, 2), raw_dtype=Type.BF16)
    expected["plain.bf16"] = (brain.astype(np.uint32) << 16).view(np.float32)
    writer.add_tensor("ids", np.arange(7, dtype=np.int64))
    for kind in QUANTIZED:
        blocks = random_blocks(kind, rng)
        writer.add_tensor(kind.name.lower(), blocks, raw_dtype=kind)
        expected[kind.name.lower()] = gguf.dequantize(blocks, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file({name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
               for name, value in expected.items()}, out / "storage.expected.safetensors")


def export_float8(out):
    every = torch.arange(256, dtype=torch.uint8)
    tensors = {}
    for name, dtype in (("f8_e4m3", torch.float8_e4m3fn), ("f8_e5m2", torch.float8_e5m2)):
        tensors[name] = every.clone().view(dtype).reshape(16, 16)
        tensors[name + ".expected"] = every.view(dtype).to(torch.float32).reshape(16, 16)
    save_file(tensors, out / "float8.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=common.REPO / "tests" / "fixtures" / "weights")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    export_gguf(out, np.random.default_rng(7))
    export_float8(out)


if __name__ == "__main__":
    main()
