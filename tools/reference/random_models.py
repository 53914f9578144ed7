"""Specs of models with random structure, for parity.py: what a checkpoint might look like that
nobody thought of. Seeded; everything drawn here is something the reference accepts.
"""

import math
from random import Random

from make_models import CROSS_DOWN, CROSS_UP, PLAIN_DOWN, PLAIN_UP, vae_config


def random_channels(rng, levels, groups, heads, largest):
    """Widths that both the norm's groups and the heads of their level divide."""
    widths = []
    for count in heads[:levels]:
        unit = math.lcm(groups, count)
        widths.append(unit * rng.randint(max(1, 6 // unit), max(1, largest // unit)))
    return widths


def random_unet(rng, context):
    levels = rng.randint(1, 4)
    groups = rng.choice([1, 2, 3, 4, 5, 8])
    heads = [rng.randint(1, 5) for _ in range(levels)]
    crossed = [rng.random() < 0.7 for _ in range(levels)]
    depth = rng.choice([1, 2, [rng.randint(1, 3) for _ in range(levels)]])
    channels = random_channels(rng, levels, groups, heads, 40)
    if channels[0] < 4:  # the sinusoid divides by half its width less freq_shift
        channels[0] *= 4
    uniform = rng.random() < 0.3 and all(width % heads[0] == 0 for width in channels)
    return {
        "sample_size": rng.choice([8, 10, [8, 12]]),
        "block_out_channels": channels,
        "down_block_types": [CROSS_DOWN if cross else PLAIN_DOWN for cross in crossed],
        "up_block_types": [CROSS_UP if cross else PLAIN_UP for cross in reversed(crossed)],
        "layers_per_block": rng.randint(1, 3),
        "norm_num_groups": groups,
        "norm_eps": rng.choice([1e-5, 1e-6]),
        "attention_head_dim": heads[0] if uniform else heads,
        "transformer_layers_per_block": depth,
        "use_linear_projection": rng.random() < 0.5,
        "cross_attention_dim": context,
        "flip_sin_to_cos": rng.random() < 0.8,
        "freq_shift": rng.choice([0, 0, 0, 1]),
        "upcast_attention": rng.random() < 0.2,
    }


def random_vae(rng):
    levels = rng.randint(1, 4)
    groups = rng.choice([1, 2, 3, 4])
    channels = [groups * rng.randint(max(1, 4 // groups), 20 // groups) for _ in range(levels)]
    convs = rng.random() < 0.6
    return vae_config(
        channels,
        groups,
        rng.randint(1, 3),
        use_quant_conv=convs,
        use_post_quant_conv=convs,
        scaling_factor=rng.choice([0.18215, 0.13025, 0.5, 1.0]),
    )


def random_scheduler(rng, corrected):
    name = rng.choice(
        [
            "DDIMScheduler",
            "PNDMScheduler",
            "EulerDiscreteScheduler",
            "EulerAncestralDiscreteScheduler",
            "DPMSolverMultistepScheduler",
        ]
    )
    schedule = rng.choice(["scaled_linear", "scaled_linear", "linear", "squaredcos_cap_v2"])
    config = {
        "_class_name": name,
        "_diffusers_version": "0.42.1",
        "num_train_timesteps": rng.choice([1000, 1000, 500]),
        "beta_schedule": schedule,
        "beta_start": rng.choice([0.00085, 0.0001]),
        "beta_end": rng.choice([0.012, 0.02]),
        # The SD pipeline rewrites any other value of these two with a warning; XL takes them as
        # they are, or are not.
        "clip_sample": False,
        "steps_offset": 1,
    }
    if not corrected:
        config["steps_offset"] = rng.choice([0, 1])
        config["clip_sample"] = rng.random() < 0.3
        for key in ("steps_offset", "clip_sample"):
            if rng.random() < 0.3:
                del config[key]
    # Keys that files often lack: the class that runs then supplies its own default.
    optional = {
        "prediction_type": rng.choice(["epsilon", "v_prediction"]),
        "timestep_spacing": rng.choice(["leading", "trailing", "linspace"]),
        "set_alpha_to_one": rng.random() < 0.5,
        "skip_prk_steps": rng.random() < 0.7,
    }
    config.update({key: value for key, value in optional.items() if rng.random() < 0.7})
    if config.get("prediction_type") == "v_prediction" and rng.random() < 0.4:
        config["rescale_betas_zero_snr"] = True
    return config


def random_tower(rng, heads, width):
    return {
        "hidden_size": width,
        "intermediate_size": rng.randint(8, 120),
        "num_hidden_layers": rng.randint(1, 4),
        "num_attention_heads": heads,
        "hidden_act": rng.choice(["gelu", "quick_gelu"]),
    }


def random_xl_parts(rng, spec):
    """Turns a spec into an XL one: a second text encoder, perhaps alone, and its conditioning."""
    alone = rng.random() < 0.3
    if alone:
        del spec["text_encoder"], spec["tokenizer"]
    heads = rng.randint(1, 5)
    second = random_tower(rng, heads, heads * rng.randint(4, 12))
    second["projection_dim"] = rng.randint(5, 40)
    if rng.random() < 0.3:
        second["eos_token_id"] = 2
    context = second["hidden_size"] + (0 if alone else spec["text_encoder"]["hidden_size"])
    id_width = rng.randint(4, 12)
    spec["unet"].update(
        cross_attention_dim=context,
        addition_embed_type="text_time",
        addition_time_embed_dim=id_width,
        projection_class_embeddings_input_dim=second["projection_dim"] + 6 * id_width,
    )
    spec["index"] = {
        "pipeline": "StableDiffusionXLPipeline",
        "force_zeros_for_empty_prompt": rng.random() < 0.5,
    }
    spec["text_encoder_2"] = second
    spec["tokenizer_2"] = {"merges": rng.choice([0, 50, 400]), "pad_token": "!"}
    spec["store"]["text_encoder_2"] = {
        "dtype": rng.choice(["f32", "f16", "bf16"]),
        "position_ids": rng.random() < 0.3,
    }


def random_spec(seed):
    """A spec for model_writer.write_model."""
    rng = Random(seed)
    heads = rng.randint(1, 5)
    context = heads * rng.randint(4, 12)
    storage = ["f32", "f16", "bf16"]
    xl = rng.random() < 0.5
    spec = {
        "seed": seed,
        "tokenizer": {
            "merges": rng.choice([0, 50, 400]),
            "old_form": rng.random() < 0.5,
            **({"pad_token": "!"} if rng.random() < 0.4 else {}),
        },
        "text_encoder": random_tower(rng, heads, context),
        "unet": random_unet(rng, context),
        "vae": random_vae(rng),
        "scheduler": random_scheduler(rng, corrected=not xl),
        "store": {
            "text_encoder": {
                "dtype": rng.choice(storage),
                "prefix": rng.random() < 0.5,
                "position_ids": rng.random() < 0.3,
            },
            "unet": {"dtype": rng.choice(storage), "shards": rng.choice([1, 1, 2, 5])},
            "vae": {"dtype": rng.choice(storage), "old_attention": rng.random() < 0.3},
        },
    }
    if xl:
        random_xl_parts(rng, spec)
    return spec


def random_case(rng, pipe, index, samplers, karras_samplers):
    """A picture to ask of a random model: small, any sampler, any text."""
    unit = max(8, pipe.vae_scale_factor)
    sampler = rng.choice(samplers)
    texts = ["red apple", "", "Ünïcödé 🦊 東京 ½", "a b c " * 40, "it's 42 panda's; (boat)"]
    karras = sampler in karras_samplers and rng.random() < 0.3
    more = {}
    if rng.random() < 0.3:
        more["guidance_rescale"] = rng.choice([0.3, 0.7, 1.0])
    if rng.random() < 0.2:
        more["clip_skip"] = 1
    if hasattr(pipe, "text_encoder_2") and rng.random() < 0.5:
        more["original_size"] = [rng.randint(64, 4096), rng.randint(64, 4096)]
        more["crops_coords_top_left"] = [rng.randint(0, 512), rng.randint(0, 512)]
    return {
        **more,
        "name": f"case-{index}",
        "prompt": rng.choice(texts),
        "negative_prompt": rng.choice([*texts, None, None]),
        "width": unit * rng.randint(1, 6),
        "height": unit * rng.randint(1, 6),
        "steps": rng.randint(1, 9),
        "guidance": rng.choice([0.0, 1.0, 1.5, 3.0, 7.5]),
        "sampler": sampler,
        "scheduler": "karras" if karras else "",
        "seed": rng.choice([0, 7, 2**32 + 1, 2**63, 2**64 - 1]),
    }
