"""Compares a PNG with a stored picture of the reference.

    python tools/reference/compare_picture.py FILE.png tintype-emoji-128 quickstart [--limit 0.5]

Prints the mean and greatest difference in 1/255; exit code 1 when the mean is over the limit. Needs
PIL, numpy and safetensors only.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

PIPELINES = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "pipelines"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("png", type=Path)
    parser.add_argument("model", help=f"a folder of {PIPELINES.name}/")
    parser.add_argument("picture", help="name of a case in its pictures.json")
    parser.add_argument("--limit", type=float, default=0.5, help="mean allowed, in 1/255")
    options = parser.parse_args()
    stored = load_file(PIPELINES / options.model / "pictures.safetensors")
    if options.picture not in stored:
        parser.error(f"picture must be one of {', '.join(sorted(stored))}, got {options.picture}")
    expected = stored[options.picture].astype(np.int16)
    drawn = np.asarray(Image.open(options.png).convert("RGB")).astype(np.int16)
    if drawn.shape != expected.shape:
        raise SystemExit(f"{options.png} must have shape {expected.shape}, got {drawn.shape}")
    apart = np.abs(drawn - expected)
    print(f"mean {apart.mean():.4f} max {apart.max()} (1/255; limit on the mean {options.limit})")
    raise SystemExit(int(apart.mean() > options.limit))


if __name__ == "__main__":
    main()
