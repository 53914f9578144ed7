"""Specs (for model_writer.py) of tiny random-weight members of the Stable Diffusion family.

Widths, depths and factors vary with the seed, within what a single file leaves to its readers: 32
groups in every norm, eight heads in SD 1.x's network, heads of 64 elsewhere.
"""

from random import Random

from make_models import CROSS_DOWN, CROSS_UP, PLAIN_DOWN, PLAIN_UP, vae_config

SD_BETAS = {
    "_diffusers_version": "0.42.1",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "steps_offset": 1,
}
PNDM = {
    "_class_name": "PNDMScheduler",
    **SD_BETAS,
    "clip_sample": False,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "timestep_spacing": "leading",
}
DDIM_V = {
    "_class_name": "DDIMScheduler",
    **SD_BETAS,
    "clip_sample": False,
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "timestep_spacing": "leading",
}
DDIM_ZERO_SNR = {**DDIM_V, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
EULER = {
    "_class_name": "EulerDiscreteScheduler",
    **SD_BETAS,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "interpolation_type": "linear",
    "use_karras_sigmas": False,
}
EULER_A_TRAILING = {
    "_class_name": "EulerAncestralDiscreteScheduler",
    **SD_BETAS,
    "prediction_type": "epsilon",
    "timestep_spacing": "trailing",
}

# name -> (layout of its single file, schedule of its folder)
FAMILIES = {
    "SD 1.x": ("sd1", PNDM),
    "SD 2.x epsilon": ("sd2", PNDM),
    "SD 2.x v": ("sd2", DDIM_V),
    "SD 2.x v, zero SNR": ("sd2", DDIM_ZERO_SNR),
    "SDXL": ("sdxl", EULER),
    "SDXL Turbo": ("sdxl", EULER_A_TRAILING),
    "SDXL refiner": ("refiner", EULER),
}


def tower(rng, activation, **more):
    width = rng.choice([64, 128])
    return {
        "hidden_size": width,
        "intermediate_size": rng.choice([96, 160, 4 * width]),
        "num_hidden_layers": rng.choice([2, 3]),
        "num_attention_heads": width // 64,
        "hidden_act": activation,
        **more,
    }


def kinds(attentive):
    return {
        "down_block_types": [CROSS_DOWN if a else PLAIN_DOWN for a in attentive],
        "up_block_types": [CROSS_UP if a else PLAIN_UP for a in reversed(attentive)],
    }


def vae(rng, scaling_factor):
    widths = [rng.choice([32, 64, 96]) for _ in range(4)]
    return vae_config(widths, 32, rng.choice([1, 2]), scaling_factor=scaling_factor)


def base_spec(seed, schedule, scaling_factor, rng):
    return {
        "seed": seed,
        "vae": vae(rng, scaling_factor),
        "scheduler": dict(schedule),
        "store": {name: {"dtype": "f32"} for name in
                  ("text_encoder", "text_encoder_2", "unet", "vae")},
    }


def sd1_spec(seed, schedule):
    rng = Random(f"sd1 {seed}")
    spec = base_spec(seed, schedule, 0.18215, rng)
    spec["tokenizer"] = {"merges": rng.choice([0, 100, 400])}
    spec["text_encoder"] = tower(rng, "quick_gelu")
    spec["unet"] = {
        "sample_size": 64,
        "block_out_channels": rng.choice([[32, 96, 64, 64], [96, 160, 32, 64], [32, 64, 160, 96]]),
        **kinds([True, True, True, False]),
        "layers_per_block": rng.choice([1, 2]),
        "norm_num_groups": 32,
        "attention_head_dim": 8,
        "cross_attention_dim": spec["text_encoder"]["hidden_size"],
    }
    return spec


def sd2_spec(seed, schedule):
    rng = Random(f"sd2 {seed}")
    spec = base_spec(seed, schedule, 0.18215, rng)
    spec["tokenizer"] = {"merges": rng.choice([0, 100, 400]), "pad_token": "!"}
    spec["text_encoder"] = tower(rng, "gelu", projection_dim=64)
    widths = rng.choice([[64, 64, 128, 64], [64, 128, 64, 128]])
    spec["unet"] = {
        "sample_size": 96 if schedule["prediction_type"] == "v_prediction" else 64,
        "block_out_channels": widths,
        **kinds([True, True, True, False]),
        "layers_per_block": rng.choice([1, 2]),
        "norm_num_groups": 32,
        "attention_head_dim": [width // 64 for width in widths],
        "use_linear_projection": True,
        "upcast_attention": True,
        "cross_attention_dim": spec["text_encoder"]["hidden_size"],
    }
    return spec


def added_embedding(numbers, pooled, each):
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": each,
        "projection_class_embeddings_input_dim": pooled + numbers * each,
    }


def sdxl_spec(seed, schedule):
    rng = Random(f"sdxl {seed}")
    spec = base_spec(seed, schedule, 0.13025, rng)
    merges = rng.choice([0, 100, 400])
    spec["index"] = {"pipeline": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True}
    spec["tokenizer"] = {"merges": merges}
    spec["tokenizer_2"] = {"merges": merges, "pad_token": "!"}
    spec["text_encoder"] = tower(rng, "quick_gelu")
    pooled = rng.choice([40, 64])
    spec["text_encoder_2"] = tower(rng, "gelu", projection_dim=pooled)
    widths = [rng.choice([32, 96, 160]), 64, rng.choice([64, 128])]
    context = spec["text_encoder"]["hidden_size"] + spec["text_encoder_2"]["hidden_size"]
    spec["unet"] = {
        "sample_size": 128,
        "block_out_channels": widths,
        **kinds([False, True, True]),
        "layers_per_block": rng.choice([1, 2]),
        "norm_num_groups": 32,
        "attention_head_dim": [max(1, width // 64) for width in widths],
        "transformer_layers_per_block": [1, rng.choice([1, 2]), rng.choice([1, 3])],
        "use_linear_projection": True,
        "cross_attention_dim": context,
        **added_embedding(6, pooled, rng.choice([16, 30])),
    }
    if widths[0] % 64:  # no attention there; diffusers wants a divisor all the same
        spec["unet"]["attention_head_dim"][0] = 1
    return spec


def refiner_spec(seed, schedule):
    rng = Random(f"refiner {seed}")
    spec = base_spec(seed, schedule, 0.13025, rng)
    spec["index"] = {
        "pipeline": "StableDiffusionXLImg2ImgPipeline",
        "force_zeros_for_empty_prompt": False,
        "requires_aesthetics_score": True,
    }
    spec["tokenizer_2"] = sdxl_spec(seed, EULER)["tokenizer_2"]  # the base's, as in the releases
    pooled = rng.choice([40, 64])
    spec["text_encoder_2"] = tower(rng, "gelu", projection_dim=pooled)
    widths = [rng.choice([32, 96]), 64, 128, 64]
    spec["unet"] = {
        "sample_size": 128,
        "block_out_channels": widths,
        **kinds([False, True, True, False]),
        "layers_per_block": rng.choice([1, 2]),
        "norm_num_groups": 32,
        "attention_head_dim": [1, 1, 2, 1],
        "transformer_layers_per_block": 2,
        "use_linear_projection": True,
        "cross_attention_dim": spec["text_encoder_2"]["hidden_size"],
        **added_embedding(5, pooled, 24),
    }
    return spec


def family_spec(family, seed):
    layout, schedule = FAMILIES[family]
    makers = {"sd1": sd1_spec, "sd2": sd2_spec, "sdxl": sdxl_spec, "refiner": refiner_spec}
    return makers[layout](seed, schedule)
