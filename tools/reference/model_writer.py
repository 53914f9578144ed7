"""Writes a random-weight Stable Diffusion (1, 2, XL) checkpoint in diffusers folder layout from a spec.

A spec is a plain dict (see make_models.py): the networks' configs, how each component is stored,
and the tokenizers. Weights are seeded, so the same spec gives the same bytes.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from common import DEMO_MODEL, write_json

import diffusers  # noqa: E402  (after common, which sets the environment)
import transformers  # noqa: E402

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

BOS, EOS = "<|startoftext|>", "<|endoftext|>"

# The names that attention layers of the autoencoder had before diffusers 0.12.
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

# Layers that add into the residual stream: smaller, so that depth does not inflate the numbers.
RESIDUAL_EXITS = ("conv2", "to_out.0", "proj_attn", "ff.net.2", "proj_out", "out_proj", "fc2")
# Logits of attention get a spread of about two, so that the softmax chooses instead of averaging.
LOGITS = ("to_q", "to_k", "q_proj", "k_proj")


def weight_gain(name):
    """Standard deviation times sqrt(fan-in) of a matrix or convolution, by its role."""
    layer = name.removesuffix(".weight")
    if layer.endswith(LOGITS):
        return 1.5
    if layer.endswith(RESIDUAL_EXITS):
        return 0.7
    if layer == "decoder.conv_out":
        return 0.9  # pixels in [-1, 1] with a spread of about a half
    if layer == "conv_out":
        return 1.6  # a noise estimate of unit spread from silu(norm), whose rms is 0.6
    return 1.0


def random_tensor(name, shape, generator):
    """Random f32 weights that keep activations of order one, seeded by `generator`."""
    values = torch.randn(tuple(shape), generator=generator)
    if name.endswith("bias"):
        return values.mul_(0.1)
    if len(shape) == 1:  # scale of a norm
        return values.mul_(0.1).add_(1.0)
    if name.endswith("token_embedding.weight"):
        return values.mul_(0.7)
    if name.endswith("position_embedding.weight"):
        return values.mul_(0.3)
    fan_in = values.numel() // shape[0]
    return values.mul_(weight_gain(name) / fan_in**0.5)


def random_weights(module, generator):
    """(name, tensor) of every parameter, in the module's order."""
    return {name: random_tensor(name, p.shape, generator) for name, p in module.named_parameters()}


def save_component(folder, stem, tensors, dtype, shards=1):
    """One safetensors file, or `shards` of them with an index, as the hub stores large models."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {
        name: t.to(DTYPES[dtype]).contiguous() if t.is_floating_point() else t
        for name, t in tensors.items()
    }
    if shards == 1:
        save_file(stored, folder / f"{stem}.safetensors", metadata={"format": "pt"})
        return
    names = sorted(stored)
    per_shard = -(-len(names) // shards)
    index = {"metadata": {"total_size": 0}, "weight_map": {}}
    for shard in range(shards):
        part = {name: stored[name] for name in names[shard * per_shard : (shard + 1) * per_shard]}
        file = f"{stem}-{shard + 1:05d}-of-{shards:05d}.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        index["metadata"]["total_size"] += sum(t.nbytes for t in part.values())
        index["weight_map"].update({name: file for name in part})
    write_json(folder / f"{stem}.safetensors.index.json", index)


def module_config(module):
    """The module's own config with every default spelled out, as save_pretrained writes it."""
    return json.loads(module.to_json_string())


def cut_tokenizer(folder, merges, pad_token=EOS, old_form=False):
    """A byte-pair tokenizer with the first `merges` merges of the demonstration model's.

    Returns its vocabulary size. Merges are listed in the order they were learned, so any head of
    the list is closed: each one joins pieces that exist already. `old_form` spells the special
    tokens as objects, as the files of the first Stable Diffusion releases do.
    """
    source = DEMO_MODEL / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    header, *rules = (source / "merges.txt").read_text(encoding="utf-8").splitlines()
    rules = rules[:merges]
    ids = json.loads((source / "vocab.json").read_text(encoding="utf-8"))
    pieces = sorted(ids, key=ids.get)[:512]  # 256 bytes, and the same at a word's end
    for piece in [rule.replace(" ", "", 1) for rule in rules] + [BOS, EOS]:
        if piece not in pieces:
            pieces.append(piece)
    vocab = {piece: i for i, piece in enumerate(pieces)}
    (folder / "merges.txt").write_text("\n".join([header, *rules]) + "\n", encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")

    def special(text):
        if not old_form:
            return text
        flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        return {"content": text, **flags}

    write_json(
        folder / "special_tokens_map.json",
        {
            "bos_token": special(BOS),
            "eos_token": special(EOS),
            "pad_token": pad_token,
            "unk_token": special(EOS),
        },
    )

    def typed(text):
        return {"__type": "AddedToken", **special(text)} if old_form else text

    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "bos_token": typed(BOS),
            "do_lower_case": True,
            "eos_token": typed(EOS),
            "errors": "replace",
            "model_max_length": 77,
            "pad_token": pad_token,
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": typed(EOS),
        },
    )
    return len(vocab)


def write_text_encoder(folder, config, vocab_size, store, generator):
    """`text_encoder/`. `store`: dtype, prefix, position_ids (see SPECS in make_models.py).

    With `projected` in the store the model also pools and projects, as SDXL's second encoder.
    """
    config = {
        "vocab_size": vocab_size,
        "bos_token_id": vocab_size - 2,
        "eos_token_id": vocab_size - 1,
        "projection_dim": config["hidden_size"],
        **config,
    }
    projected = store.get("projected", False)
    name = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    with torch.device("meta"):
        module = getattr(transformers, name)(transformers.CLIPTextConfig(**config))
    tensors = random_weights(module, generator)
    if store.get("prefix", True) and not projected:  # with a projection, names have it already
        tensors = {f"text_model.{name}": t for name, t in tensors.items()}
    if store.get("position_ids", False):
        # A buffer that transformers saved until 4.31; readers must ignore it.
        prefix = "text_model." if store.get("prefix", True) else ""
        tensors[f"{prefix}embeddings.position_ids"] = torch.arange(77).unsqueeze(0)
    save_component(folder, "model", tensors, store["dtype"])
    write_json(
        folder / "config.json",
        {
            "architectures": [name],
            "model_type": "clip_text_model",
            "attention_dropout": 0.0,
            "layer_norm_eps": 1e-5,
            "max_position_embeddings": 77,
            "pad_token_id": 1,
            **config,
        },
    )


def write_unet(folder, config, store, generator):
    """`unet/`. `store`: dtype, shards."""
    with torch.device("meta"):
        module = diffusers.UNet2DConditionModel(**config)
    save_component(
        folder,
        "diffusion_pytorch_model",
        random_weights(module, generator),
        store["dtype"],
        store.get("shards", 1),
    )
    write_json(folder / "config.json", module_config(module))


def write_vae(folder, config, store, generator):
    """`vae/`. `store`: dtype, old_attention."""
    with torch.device("meta"):
        module = diffusers.AutoencoderKL(**config)
    tensors = random_weights(module, generator)
    if store.get("old_attention", False):
        for new, old in OLD_ATTENTION.items():
            tensors = {name.replace(f".{new}.", f".{old}."): t for name, t in tensors.items()}
    save_component(folder, "diffusion_pytorch_model", tensors, store["dtype"])
    write_json(folder / "config.json", module_config(module))


def write_model_index(folder, scheduler_class, pipeline="StableDiffusionPipeline", **more):
    """`model_index.json` of a pipeline without a safety checker.

    For the XL classes, `first_tower` False leaves the first text encoder out, as SDXL's refiner
    does; all else in `more` is written as it is.
    """
    clip = ["transformers", "CLIPTextModel"]
    tokenizer = ["transformers", "CLIPTokenizer"]
    index = {
        "_class_name": pipeline,
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "scheduler": ["diffusers", scheduler_class],
        "text_encoder": clip,
        "tokenizer": tokenizer,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    if "XL" in pipeline:
        if not more.pop("first_tower", True):
            index["text_encoder"] = index["tokenizer"] = [None, None]
        index["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
        index["tokenizer_2"] = tokenizer
        index["image_encoder"] = [None, None]
    else:
        index["safety_checker"] = [None, None]
        index["requires_safety_checker"] = False
    write_json(folder / "model_index.json", {**index, **more})


def write_model(folder, spec):
    """The whole checkpoint. Replaces the folder's model files and leaves other files alone."""
    folder = Path(folder)
    parts = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")
    for part in (*parts, "tokenizer_2", "text_encoder_2"):
        shutil.rmtree(folder / part, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator("cpu").manual_seed(spec["seed"])
    store = spec["store"]
    for suffix in ("", "_2"):
        tower = f"text_encoder{suffix}"
        if tower not in spec:
            continue
        vocab_size = cut_tokenizer(folder / f"tokenizer{suffix}", **spec[f"tokenizer{suffix}"])
        stored = {**store[tower], "projected": suffix == "_2"}
        write_text_encoder(folder / tower, spec[tower], vocab_size, stored, generator)
    write_unet(folder / "unet", spec["unet"], store["unet"], generator)
    write_vae(folder / "vae", spec["vae"], store["vae"], generator)
    (folder / "scheduler").mkdir()
    write_json(folder / "scheduler" / "scheduler_config.json", spec["scheduler"])
    index = dict(spec.get("index", {}))
    if "text_encoder_2" in spec:
        index["first_tower"] = "text_encoder" in spec
    write_model_index(folder, spec["scheduler"]["_class_name"], **index)
