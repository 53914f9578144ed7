"""Adapters with random weights in every spelling, and pictures that diffusers and peft draw with them.

    python tools/reference/export_adapters.py

Writes tests/fixtures/adapters/<model>/: the adapters' files, pictures.safetensors (uint8 [H, W, 3],
one tensor for each case) and pictures.json. Spellings that diffusers reads go through its loader;
LoHa, LoKr and LoCon's middle go through LyCORIS' formulas (arXiv:2309.14859), added to the weights,
and so does DoRA, whose magnitudes diffusers 0.42 drops from kohya's files, through peft's.
"""

import shutil

import torch
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from common import FIXTURE_MODELS, REPO, draw, load_pipeline, require_small, versions, write_json
from export_pictures import case

FOLDER = REPO / "tests" / "fixtures" / "adapters"
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "time_emb_proj", "downsamplers.0.conv")
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
SIZE = {"four-level": {"width": 72, "height": 56}, "sdxl": {"width": 56, "height": 72}}

generator = torch.Generator()


def rand(*shape, scale=1.0):
    return torch.randn(*shape, generator=generator) * scale


def layers(module, endings):
    """(path, weight) of the layers whose path has one of these endings."""
    for path, layer in module.named_modules():
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)) and path.endswith(endings):
            yield path, layer.weight


def factors(weight, rank, strength):
    """down and up of a layer, as torch multiplies them."""
    out, inputs = weight.shape[0], weight.shape[1:]
    down = rand(rank, *inputs) / inputs.numel() ** 0.5
    up = rand(out, rank, *[1] * (len(inputs) - 1)) * strength / rank**0.5
    return down, up


def text_path(path):
    """transformers 5.6 dropped the level that files have."""
    return path if path.startswith("text_model.") else "text_model." + path


def kohya(pipe, endings, towers, strength=0.6, sgm=None, dora=False, text=TEXT):
    state = {}
    parts = [("lora_unet_", pipe.unet, endings)] + [(p, t, text) for p, t in towers]
    for prefix, module, ends in parts:
        for i, (path, weight) in enumerate(layers(module, ends)):
            rank = 1 + i % 4
            down, up = factors(weight, rank, strength)
            name = path if prefix == "lora_unet_" else text_path(path)
            name = (sgm(name) if sgm and prefix == "lora_unet_" else name).replace(".", "_")
            state[f"{prefix}{name}.lora_down.weight"] = down.half()
            state[f"{prefix}{name}.lora_up.weight"] = up.half()
            state[f"{prefix}{name}.alpha"] = torch.tensor(rank * (0.5 + 0.25 * (i % 3)))
            if dora:
                norm = weight.detach().flatten(1).norm(dim=1)
                scale = norm * (1 + 0.3 * rand(len(norm)))
                state[f"{prefix}{name}.dora_scale"] = scale.reshape(-1, *[1] * (weight.dim() - 1))
    return state


def peft(pipe, endings, text=TEXT, strength=0.6):
    state = {}
    parts = (("unet.", pipe.unet, endings), ("text_encoder.", pipe.text_encoder, text))
    for prefix, module, ends in parts:
        for path, weight in layers(module, ends):
            down, up = factors(weight, 3, strength)
            name = path if prefix == "unet." else text_path(path)
            state[f"{prefix}{name}.lora_A.weight"] = down
            state[f"{prefix}{name}.lora_B.weight"] = up
    return state


def processors(pipe):
    """Of the attention processors of diffusers before 0.22."""
    state = {}
    for path, weight in layers(pipe.unet, ("to_q", "to_k", "to_v", "to_out.0")):
        down, up = factors(weight, 2, 0.8)
        block, last = path.removesuffix(".0").rsplit(".", 1)
        state[f"unet.{block}.processor.{last}_lora.down.weight"] = down
        state[f"unet.{block}.processor.{last}_lora.up.weight"] = up
    return state


def sgm_name(path):
    """diffusers' path in the layout of SDXL's original code; two resnets a resolution."""
    inside = {"conv1": "in_layers.2", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    side, *rest = path.split(".")
    if side == "mid_block":
        kind, i, tail = rest[0], int(rest[1]), ".".join(rest[2:])
        place = f"middle_block.{1 if kind == 'attentions' else 2 * i}"
        return f"{place}.{inside.get(tail, tail)}"
    level, kind, i, tail = int(rest[0]), rest[1], int(rest[2]), ".".join(rest[3:])
    if side == "down_blocks":
        place, block = 1 + 3 * level + i, "input_blocks"
    else:
        place, block = 3 * level + i, "output_blocks"
    return f"{block}.{place}.{1 if kind == 'attentions' else 0}.{inside.get(tail, tail)}"


def whole(state, name, shape):
    """What a LoHa, a LoKr or a LoCon with a middle adds to a weight of `shape`, without its scale."""
    part = {
        key[len(name) + 1 :]: value.float()
        for key, value in state.items()
        if key.startswith(name + ".")
    }

    def pair(a, b, core=None):
        if core in part:
            return torch.einsum("ijkl,jr,ip->prkl", part[core], part[b], part[a])
        return part[a] @ part[b].flatten(1)

    if "hada_w1_a" in part:
        first = pair("hada_w1_a", "hada_w1_b", "hada_t1")
        return (first * pair("hada_w2_a", "hada_w2_b", "hada_t2")).reshape(shape)
    if "lora_mid.weight" in part:
        up, down = part["lora_up.weight"].flatten(1), part["lora_down.weight"].flatten(1)
        return torch.einsum("or,rikl,ic->ockl", up, part["lora_mid.weight"], down)
    if "lora_up.weight" in part:
        up, down = part["lora_up.weight"].flatten(1), part["lora_down.weight"].flatten(1)
        return (up @ down).reshape(shape)
    first = part["lokr_w1"] if "lokr_w1" in part else pair("lokr_w1_a", "lokr_w1_b")
    second = part["lokr_w2"] if "lokr_w2" in part else pair("lokr_w2_a", "lokr_w2_b", "lokr_t2")
    if second.dim() == 4:
        first = first[:, :, None, None]
    return torch.kron(first, second.contiguous()).reshape(shape)


def rank_of(state, name):
    for key in ("lora_down.weight", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if f"{name}.{key}" in state:
            return state[f"{name}.{key}"].shape[0]
    return None


def divisor(n):
    return next(d for d in (4, 3, 2, 1) if n % d == 0)


def lycoris(pipe, kind):
    state = {}
    # Every second layer: the file stays small.
    for i, (path, weight) in enumerate(list(layers(pipe.unet, ATTENTION + CONVOLUTIONS))[::2]):
        name, r, out = "lora_unet_" + path.replace(".", "_"), 1 + i % 3, weight.shape[0]
        inputs, tucker = weight.shape[1], weight.dim() == 4 and weight.shape[2] == 3 and i % 2
        flat = weight[0].numel()
        if kind == "loha":
            for w in ("1", "2"):
                if tucker:
                    state[f"{name}.hada_t{w}"] = rand(r, r, 3, 3, scale=0.5)
                    state[f"{name}.hada_w{w}_a"] = rand(r, out)
                    state[f"{name}.hada_w{w}_b"] = rand(r, inputs, scale=0.3)
                else:
                    state[f"{name}.hada_w{w}_a"] = rand(out, r)
                    state[f"{name}.hada_w{w}_b"] = rand(r, flat, scale=0.3)
        elif kind == "lokr":
            a, b = divisor(out), divisor(inputs)
            if i % 3 == 0:
                state[f"{name}.lokr_w1"] = rand(a, b)
            else:
                state[f"{name}.lokr_w1_a"], state[f"{name}.lokr_w1_b"] = rand(a, 2), rand(2, b)
            rest = (out // a, inputs // b)
            if tucker:
                state[f"{name}.lokr_t2"] = rand(r, r, 3, 3, scale=0.5)
                state[f"{name}.lokr_w2_a"] = rand(r, rest[0])
                state[f"{name}.lokr_w2_b"] = rand(r, rest[1], scale=0.1)
            elif i % 2:
                state[f"{name}.lokr_w2"] = rand(*rest, *weight.shape[2:], scale=0.05)
            else:
                state[f"{name}.lokr_w2_a"] = rand(rest[0], r)
                state[f"{name}.lokr_w2_b"] = rand(r, flat // b, scale=0.1)
        elif weight.dim() == 4:  # LoCon, with a middle where the filter is larger than a pixel
            if weight.shape[2] == 3:
                state[f"{name}.lora_mid.weight"] = rand(r, r, 3, 3, scale=0.5)
            state[f"{name}.lora_down.weight"] = rand(r, inputs, 1, 1, scale=0.3)
            state[f"{name}.lora_up.weight"] = rand(out, r, 1, 1, scale=0.5)
        else:
            continue
        state[f"{name}.alpha"] = torch.tensor(float(r))
    return {key: value.contiguous() for key, value in state.items()}


def merged_picture(pipe, state, entry):
    """Adds the change to the weights, draws, takes it back."""
    kept = {}
    with torch.no_grad():
        for path, weight in layers(pipe.unet, ATTENTION + CONVOLUTIONS):
            name = "lora_unet_" + path.replace(".", "_")
            if f"{name}.alpha" not in state:
                continue
            kept[path] = weight.clone()
            rank = rank_of(state, name)
            scale = float(state[f"{name}.alpha"]) / rank if rank else 1.0
            scale *= entry["adapters"][0]["weight"]
            weight += scale * whole(state, name, weight.shape)
            if f"{name}.dora_scale" in state:  # as peft/tuners/lora/dora.py
                norm = weight.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.dim() - 1))
                weight *= state[f"{name}.dora_scale"].reshape(norm.shape) / norm
        picture = draw(pipe, entry)
        for path, weight in layers(pipe.unet, ATTENTION + CONVOLUTIONS):
            if path in kept:
                weight.copy_(kept[path])
    return picture


def correct_alphas(pipe, adapter, state):
    """diffusers 0.42 loses kohya's alphas of attention layers where layers differ in them: sets each
    layer's own, as the format defines it."""
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}
    if hasattr(pipe, "text_encoder_2"):
        prefixes["text_encoder"] = "lora_te1_"
    for part, prefix in prefixes.items():
        for path, layer in getattr(pipe, part, torch.nn.Module()).named_modules():
            if not hasattr(layer, "lora_A") or adapter not in layer.lora_A:
                continue
            names = [path] if part != "unet" or path.startswith("conv") else [path, sgm_name(path)]
            names = [f"{prefix}{name.replace('.', '_')}.alpha" for name in names]
            alpha = next((float(state[name]) for name in names if name in state), None)
            if alpha is not None:
                layer.lora_alpha[adapter] = alpha
                layer.scaling[adapter] = alpha / layer.r[adapter]


def loaded_picture(pipe, files, entry):
    """As a user of diffusers would."""
    names = []
    for i, use in enumerate(entry["adapters"]):
        names.append(f"adapter{i}")
        path = files / (use["name"] + ".safetensors")
        if use["name"] == "configured":  # its metadata counts
            pipe.load_lora_weights(str(files), weight_name=path.name, adapter_name=names[-1])
            continue
        # diffusers 0.42 looks for text layers where transformers 5.6 has them: without a level in
        # the tower that does not project.
        state = {
            key
            if "te2_" in key
            else key.replace("text_model.", "").replace("text_model_", ""): value
            for key, value in load_file(path).items()
        }
        pipe.load_lora_weights(dict(state), adapter_name=names[-1])
        correct_alphas(pipe, names[-1], state)
    pipe.set_adapters(names, [use["weight"] for use in entry["adapters"]])
    picture = draw(pipe, entry)
    pipe.unload_lora_weights()
    return picture


def with_config(pipe, folder):
    """A file as diffusers' training scripts save it: ranks and alphas of layers in its metadata."""
    config = LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["to_q", "to_v", "to_out.0", "conv1"],
        rank_pattern={"attn2.to_q": 2, "mid_block.attentions.0.transformer_blocks.0.attn1.to_v": 1},
        alpha_pattern={"to_out.0": 1.5},
    )
    pipe.unet.add_adapter(config, "default")
    with torch.no_grad():
        for name, parameter in pipe.unet.named_parameters():
            if "lora_B" in name:
                parameter.copy_(rand(*parameter.shape, scale=0.3))
            if "lora_A" in name:
                parameter.copy_(rand(*parameter.shape, scale=0.3))
    from peft import get_peft_model_state_dict

    type(pipe).save_lora_weights(
        str(folder),
        unet_lora_layers=get_peft_model_state_dict(pipe.unet),
        weight_name="configured.safetensors",
        **_collate_lora_metadata({"unet": pipe.unet}),
    )
    pipe.unload_lora_weights()


def export(model, make):
    pipe = load_pipeline(FIXTURE_MODELS / model)
    generator.manual_seed(len(model))
    folder = FOLDER / model
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    states, cases = make(pipe, folder)
    for name, state in states.items():
        # As people keep them; numbers by themselves in f32.
        for key, value in state.items():
            narrow = value.dim() > 1 and "dora_scale" not in key
            state[key] = value.contiguous().half() if narrow else value
        save_file(state, folder / f"{name}.safetensors")
    base = case("base", "ddim", **SIZE[model])
    plain = draw(pipe, base)
    pictures = {"base": torch.from_numpy(plain)}
    entries = [{**base, "adapters": []}]
    for name, uses in cases:
        entry = {**base, "name": name}
        entry["adapters"] = [{"name": n, "weight": w} for n, w in uses]
        merged = name.removesuffix("-weighted") in ("loha", "lokr", "locon", "dora")
        picture = (
            merged_picture(pipe, states[uses[0][0]], entry)
            if merged
            else loaded_picture(pipe, folder, entry)
        )
        change = abs(picture.astype(int) - plain.astype(int)).mean()
        print(f"  {name:16} changes the picture by {change:.1f} of 255, spread {picture.std():.0f}")
        if change < 3 or picture.std() < 15:
            raise RuntimeError(f"{name}: nothing to see")
        pictures[name] = torch.from_numpy(picture)
        entries.append(entry)
    if abs(draw(pipe, base).astype(int) - plain.astype(int)).max() > 1:
        raise RuntimeError("an adapter stayed in the reference")
    save_file(pictures, folder / "pictures.safetensors")
    write_json(
        folder / "pictures.json",
        {"model": f"tests/fixtures/models/{model}", "versions": versions(), "pictures": entries},
    )
    for file in folder.iterdir():
        file.chmod(0o644)
    require_small(folder)


def small(pipe, folder):
    towers = [("lora_te_", pipe.text_encoder)]
    states = {
        "kohya": kohya(pipe, ATTENTION, towers),
        "kohya-conv": kohya(pipe, CONVOLUTIONS, []),
        "peft": peft(pipe, ("to_q", "to_k", "ff.net.0.proj", "conv2")),
        "processors": processors(pipe),
        "dora": kohya(pipe, ATTENTION + ("conv1",), [], dora=True),
        "loha": lycoris(pipe, "loha"),
        "lokr": lycoris(pipe, "lokr"),
        "locon": lycoris(pipe, "locon"),
    }
    cases = [(name, [(name, 1.0)]) for name in states]
    cases += [
        ("weighted", [("kohya", -0.4)]),
        ("two", [("kohya", 0.7), ("peft", 0.5)]),
        ("dora-weighted", [("dora", 0.6)]),
        ("three", [("kohya-conv", 0.5), ("processors", 1.2), ("peft", 0.3)]),
    ]
    return states, cases


def xl(pipe, folder):
    towers = [("lora_te1_", pipe.text_encoder), ("lora_te2_", pipe.text_encoder_2)]
    text = ("q_proj", "out_proj", "fc1")
    states = {
        "sgm": kohya(pipe, ("to_q", "to_k", "to_out.0", "proj_in"), towers, 0.5, sgm_name, text=text),
        "kohya": kohya(pipe, ("to_v", "ff.net.2"), towers[1:]),
    }
    with_config(pipe, folder)
    cases = [(name, [(name, 1.0)]) for name in (*states, "configured")]
    return states, cases + [("two", [("sgm", 0.8), ("configured", 0.9)])]


def main():
    export("four-level", small)
    export("sdxl", xl)


if __name__ == "__main__":
    main()
