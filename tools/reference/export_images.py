"""Picture files of every kind the readers take, with the pixels that Pillow reads from them, and
pictures resized by Pillow and by diffusers' image processor.

    python tools/reference/export_images.py

Writes tests/fixtures/images/: the files, pixels.safetensors (uint8 [H, W, 3], named like the file),
resized.safetensors (`source`, and one tensor for each size and mode).
"""

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from safetensors.torch import save_file

from common import REPO, require_small

FOLDER = REPO / "tests" / "fixtures" / "images"
ORIENTATION = 0x0112


def painting(width, height, seed=0):
    """Smooth colours with a few hard edges: JPEG keeps it, filters show on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / rng.uniform(2, 6) + y / rng.uniform(2, 6) + i) for i in range(3)]
    pixels = np.stack(waves, axis=-1) * 90 + 128
    pixels[height // 3 : height // 2, width // 4 : width // 2] = [250, 20, 60]
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def save(name, image, **options):
    image.save(FOLDER / name, **options)


def exif_with(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def write_files():
    rgb = painting(23, 17)
    grey = rgb.convert("L")
    alpha = Image.fromarray(np.linspace(0, 255, 23 * 17).reshape(17, 23).astype(np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    save("rgb.png", rgb)
    save("grey.png", grey)
    save("grey-alpha.png", Image.merge("LA", (grey, alpha)))
    save("rgba.png", rgba)
    save("palette.png", rgb.quantize(16))
    save("palette-transparent.png", rgb.quantize(16), transparency=3)
    save("bits.png", rgb.convert("1"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save("icc.png", rgb, icc_profile=srgb)
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", (45455).to_bytes(4, "big"))
    save("gamma.png", rgb, pnginfo=gamma)
    save("turned.png", rgb, exif=exif_with(6))
    save("grey-16.png", Image.fromarray(np.linspace(0, 65535, 23 * 17).reshape(17, 23).astype(np.uint16)))
    save("rgb.jpg", rgb, quality=90)
    save("full-color.jpg", rgb, quality=95, subsampling=0)
    save("grey.jpg", grey)
    save("progressive.jpg", rgb, progressive=True)
    save("icc.jpg", rgb, icc_profile=srgb)
    save("cmyk.jpg", rgb.convert("CMYK"), quality=95)
    for orientation in range(1, 9):
        save(f"orientation-{orientation}.jpg", rgb, quality=85, exif=exif_with(orientation))
    save("lossy.webp", rgb, quality=85)
    save("lossless.webp", rgb, lossless=True)
    save("alpha.webp", rgba, lossless=True, exact=True)
    save("turned.webp", rgb, quality=85, exif=exif_with(8))


def read(path):
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode.startswith("I;16"):  # convert("RGB") would cut it off at 255
        wide = np.array(image).astype(np.float64)
        return np.repeat(np.floor(wide / 257 + 0.5).astype(np.uint8)[..., None], 3, axis=2)
    return np.array(image.convert("RGB"))


def opacity(path):
    """[H, W], as masks may be marked by it."""
    image = ImageOps.exif_transpose(Image.open(path))
    return np.array(image.convert("RGBA"))[..., 3]


def resized():
    source = painting(61, 43, seed=1)
    pictures = {"source": np.array(source)}
    for width, height in [(40, 24), (61, 30), (24, 43), (128, 96), (8, 8), (1, 1), (200, 43)]:
        size = f"{width}x{height}"
        pictures[f"lanczos-{size}"] = np.array(source.resize((width, height), Image.LANCZOS))
        pictures[f"bicubic-{size}"] = np.array(source.resize((width, height), Image.BICUBIC))
    processor = VaeImageProcessor(vae_scale_factor=8)
    for mode, name in [("default", "fit"), ("crop", "crop"), ("fill", "pad")]:
        for width, height in [(64, 64), (96, 32), (32, 64), (40, 40)]:
            image = processor.resize(source, height, width, resize_mode=mode)
            pictures[f"{name}-{width}x{height}"] = np.array(image)
    return pictures


def store(name, pictures):
    tensors = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in pictures.items()}
    save_file(tensors, FOLDER / name)
    (FOLDER / name).chmod(0o644)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_files()
    files = sorted(p for p in FOLDER.iterdir() if p.suffix != ".safetensors")
    store("pixels.safetensors", {path.name: read(path) for path in files})
    seen = [path for path in files if "png" in path.suffix or "webp" in path.suffix]
    store("opacity.safetensors", {path.name: opacity(path) for path in seen})
    store("resized.safetensors", resized())
    require_small(FOLDER)


if __name__ == "__main__":
    main()
