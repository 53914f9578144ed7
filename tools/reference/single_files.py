"""Stores a checkpoint's original-layout tensors as one file: safetensors or GGUF, many types.

Each writer returns the values that a reader of the file gets, in f32.
"""

import re

import common  # noqa: F401  (first: keeps diffusers offline and quiet)
import gguf
import numpy as np
import torch
from safetensors.torch import save_file

FLOATS = {
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}
GGUF_TYPES = ("F16", "Q8_0", "Q5_1", "Q4_0", "Q5_0", "Q4_1", "BF16", "F32")

# stable-diffusion.cpp's names of OpenCLIP's tensors: transformers' with rows still joined.
OPEN_CLIP_TO_SDCPP = [
    (r"token_embedding\.weight$", "text_model.embeddings.token_embedding.weight"),
    (r"positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"text_projection$", "text_model.text_projection"),
    (r"ln_final\.", "text_model.final_layer_norm."),
    (r"transformer\.resblocks\.(\d+)\.ln_(\d)\.", r"text_model.encoder.layers.\1.layer_norm\2."),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_fc\.", r"text_model.encoder.layers.\1.mlp.fc1."),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_proj\.", r"text_model.encoder.layers.\1.mlp.fc2."),
    (r"transformer\.resblocks\.(\d+)\.attn\.in_proj_",
     r"text_model.encoder.layers.\1.self_attn.in_proj."),
    (r"transformer\.resblocks\.(\d+)\.attn\.out_proj\.",
     r"text_model.encoder.layers.\1.self_attn.out_proj."),
]
SDCPP_PREFIXES = {
    "cond_stage_model.model.": "cond_stage_model.transformer.",
    "conditioner.embedders.0.transformer.": "cond_stage_model.transformer.",
    "conditioner.embedders.1.model.": "cond_stage_model.1.transformer.",
}


def sdcpp_name(name):
    """What stable-diffusion.cpp calls a tensor after converting names."""
    for prefix, theirs in SDCPP_PREFIXES.items():
        if not name.startswith(prefix):
            continue
        rest = name.removeprefix(prefix)
        if prefix.endswith(".model."):
            for pattern, replacement in OPEN_CLIP_TO_SDCPP:
                rest = re.sub("^" + pattern, replacement, rest)
        return theirs + rest
    return name


def write_safetensors(file, tensors, storage, markers=()):
    """`storage`: a key of FLOATS; 8-bit files keep vectors in f16, as the ones in circulation do."""
    stored = {}
    for name, value in tensors.items():
        small = storage.startswith("fp8") and value.dim() < 2
        if value.is_floating_point():
            value = value.to(torch.float16 if small else FLOATS[storage])
        stored[name] = value.contiguous()
    save_file({**stored, **{name: torch.zeros(0) for name in markers}}, file)
    return {name: value.float() for name, value in stored.items()}


def gguf_type(name, shape, wanted):
    """stable-diffusion.cpp's rule: biases and what does not fill blocks stay as they were."""
    kind = gguf.GGMLQuantizationType[wanted]
    block = gguf.GGML_QUANT_SIZES[kind][0]
    kept = name.endswith(".bias") or "position_embedding" in name or not shape
    if kept or len(shape) < 2 and block > 1:
        return gguf.GGMLQuantizationType.F32
    return kind if shape[-1] % block == 0 else gguf.GGMLQuantizationType.F16


def write_gguf(file, tensors, storage, converted_names=False, markers=()):
    """`storage`: one of GGUF_TYPES, for what stable-diffusion.cpp would quantise."""
    writer = gguf.GGUFWriter(file, "sd")
    held = {}
    for name, value in tensors.items():
        if not value.is_floating_point():
            continue  # position numbers, which sd.cpp leaves out
        array = np.ascontiguousarray(value.numpy(), dtype=np.float32)
        kind = gguf_type(name, array.shape, storage)
        data = gguf.quantize(array, kind) if array.shape else array.reshape(1)
        raw = {} if kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16) else {
            "raw_dtype": kind
        }
        writer.add_tensor(sdcpp_name(name) if converted_names else name, data, **raw)
        restored = gguf.dequantize(data, kind).astype(np.float32).reshape(array.shape)
        held[name] = torch.from_numpy(np.ascontiguousarray(restored))
    for name in markers:
        writer.add_tensor(name, np.zeros(1, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held
