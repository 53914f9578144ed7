"""Writes the tiny random-weight models of tests/fixtures/models, each of another structure.

    python tools/reference/make_models.py [NAME ...]

The same versions of torch and diffusers give the same bytes. After a change here, run
export_blocks.py and export_pictures.py too.
"""

import argparse

from common import FIXTURE_MODELS, require_small
from model_writer import write_model

CROSS_DOWN, PLAIN_DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"


def vae_config(channels, groups, layers, **more):
    """An autoencoder with one level for each entry of `channels`."""
    return {
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "layers_per_block": layers,
        "norm_num_groups": groups,
        "latent_channels": 4,
        "sample_size": 64,
        "scaling_factor": 0.18215,
        **more,
    }


SPECS = {
    # The shape of Stable Diffusion 1.x and the spellings of its first files: four levels, the last
    # without attention, 1x1 convolutions around the transformers, a sparse PNDM config, old names.
    "four-level": {
        "seed": 101,
        "tokenizer": {"merges": 240, "old_form": True},
        "text_encoder": {
            "hidden_size": 32,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "hidden_act": "quick_gelu",
        },
        "unet": {
            "sample_size": 8,
            "block_out_channels": [8, 16, 16, 16],
            "down_block_types": [CROSS_DOWN, CROSS_DOWN, CROSS_DOWN, PLAIN_DOWN],
            "up_block_types": [PLAIN_UP, CROSS_UP, CROSS_UP, CROSS_UP],
            "layers_per_block": 2,
            "norm_num_groups": 4,
            "attention_head_dim": [2, 4, 1, 2],
            "cross_attention_dim": 32,
        },
        "vae": vae_config([6, 8, 10, 12], 2, 2),
        "scheduler": {
            "_class_name": "PNDMScheduler",
            "_diffusers_version": "0.6.0",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "clip_sample": False,
            "num_train_timesteps": 1000,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "trained_betas": None,
        },
        "store": {
            "text_encoder": {"dtype": "f16", "prefix": True, "position_ids": True},
            "unet": {"dtype": "f16"},
            "vae": {"dtype": "f16", "old_attention": True},
        },
    },
    # The shape of Stable Diffusion 2.x in odd sizes: linear projections, deeper transformers, a
    # level without attention in the middle, v-prediction, padding that is not the end token.
    "odd-channels": {
        "seed": 102,
        "tokenizer": {"merges": 150, "pad_token": "!"},
        "text_encoder": {
            "hidden_size": 36,
            "intermediate_size": 100,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "hidden_act": "gelu",
        },
        "unet": {
            "sample_size": 9,
            "block_out_channels": [10, 18, 22],
            "down_block_types": [CROSS_DOWN, PLAIN_DOWN, CROSS_DOWN],
            "up_block_types": [CROSS_UP, PLAIN_UP, CROSS_UP],
            "layers_per_block": 1,
            "norm_num_groups": 2,
            "attention_head_dim": [2, 3, 2],
            "transformer_layers_per_block": 2,
            "use_linear_projection": True,
            "cross_attention_dim": 36,
        },
        "vae": vae_config([6, 6, 8, 10], 2, 1),
        "scheduler": {
            "_class_name": "EulerDiscreteScheduler",
            "_diffusers_version": "0.42.1",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "clip_sample": False,
            "interpolation_type": "linear",
            "num_train_timesteps": 1000,
            "prediction_type": "v_prediction",
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "timestep_spacing": "trailing",
            "trained_betas": None,
            "use_karras_sigmas": False,
        },
        "store": {
            "text_encoder": {"dtype": "f16", "prefix": True},
            "unet": {"dtype": "bf16", "shards": 3},
            "vae": {"dtype": "f32"},
        },
    },
    # Shallow, with odd widths everywhere: heads of 5 and 9, a context of 35, pictures that are not
    # square by default, an autoencoder of factor 4 without the 1x1 convolutions at its latent.
    "shallow": {
        "seed": 103,
        "tokenizer": {"merges": 60},
        "text_encoder": {
            "hidden_size": 35,
            "intermediate_size": 91,
            "num_hidden_layers": 1,
            "num_attention_heads": 5,
            "hidden_act": "quick_gelu",
        },
        "unet": {
            "sample_size": [12, 8],
            "block_out_channels": [15, 27],
            "down_block_types": [CROSS_DOWN, CROSS_DOWN],
            "up_block_types": [CROSS_UP, CROSS_UP],
            "layers_per_block": 1,
            "norm_num_groups": 3,
            "attention_head_dim": [3, 3],
            "transformer_layers_per_block": [2, 1],
            "cross_attention_dim": 35,
        },
        "vae": vae_config(
            [9, 12, 15], 3, 1, use_quant_conv=False, use_post_quant_conv=False, scaling_factor=0.4
        ),
        "scheduler": {
            "_class_name": "DPMSolverMultistepScheduler",
            "_diffusers_version": "0.42.1",
            "algorithm_type": "dpmsolver++",
            "beta_end": 0.02,
            "beta_schedule": "linear",
            "beta_start": 0.0001,
            "clip_sample": False,
            "final_sigmas_type": "zero",
            "lower_order_final": True,
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "solver_order": 2,
            "solver_type": "midpoint",
            "steps_offset": 1,
            "timestep_spacing": "linspace",
            "use_karras_sigmas": False,
        },
        "store": {
            "text_encoder": {"dtype": "f32", "prefix": False},
            "unet": {"dtype": "f16"},
            "vae": {"dtype": "bf16"},
        },
    },
    # A single level, so that nothing is ever halved; odd first width (the time embedding ends in a
    # padding zero), sample prediction over cosine betas, an autoencoder of factor 2.
    "one-level": {
        "seed": 104,
        "tokenizer": {"merges": 0},
        "text_encoder": {
            "hidden_size": 24,
            "intermediate_size": 60,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "hidden_act": "gelu",
        },
        "unet": {
            "sample_size": 8,
            "block_out_channels": [21],
            "down_block_types": [CROSS_DOWN],
            "up_block_types": [CROSS_UP],
            "layers_per_block": 2,
            "norm_num_groups": 7,
            "norm_eps": 1e-6,
            "attention_head_dim": 3,
            "cross_attention_dim": 24,
            "flip_sin_to_cos": False,
            "freq_shift": 1,
        },
        "vae": vae_config([10, 15], 5, 2, scaling_factor=0.13025),
        "scheduler": {
            "_class_name": "DDIMScheduler",
            "_diffusers_version": "0.42.1",
            "beta_end": 0.02,
            "beta_schedule": "squaredcos_cap_v2",
            "beta_start": 0.0001,
            "clip_sample": False,
            "num_train_timesteps": 1000,
            "prediction_type": "sample",
            "set_alpha_to_one": True,
            "steps_offset": 1,
            "timestep_spacing": "leading",
        },
        "store": {
            "text_encoder": {"dtype": "bf16", "prefix": False},
            "unet": {"dtype": "f32", "shards": 2},
            "vae": {"dtype": "f16"},
        },
    },
    # Stable Diffusion 2.x at 768 pixels: OpenCLIP's tower with its last layer already cut off,
    # padding with "!", heads of one width, linear projections, v-prediction over a schedule that
    # ends without any signal.
    "sd2-zero-snr": {
        "seed": 105,
        "tokenizer": {"merges": 120, "pad_token": "!"},
        "text_encoder": {
            "hidden_size": 40,
            "intermediate_size": 104,
            "num_hidden_layers": 3,
            "num_attention_heads": 5,
            "hidden_act": "gelu",
            "projection_dim": 28,
        },
        "unet": {
            "sample_size": 12,
            "block_out_channels": [8, 12, 20, 20],
            "down_block_types": [CROSS_DOWN, CROSS_DOWN, CROSS_DOWN, PLAIN_DOWN],
            "up_block_types": [PLAIN_UP, CROSS_UP, CROSS_UP, CROSS_UP],
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "attention_head_dim": [2, 3, 5, 5],
            "use_linear_projection": True,
            "upcast_attention": True,
            "cross_attention_dim": 40,
        },
        "vae": vae_config([6, 6, 8, 10], 2, 1),
        "scheduler": {
            "_class_name": "DDIMScheduler",
            "_diffusers_version": "0.42.1",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "clip_sample": False,
            "num_train_timesteps": 1000,
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
            "set_alpha_to_one": False,
            "steps_offset": 1,
            "timestep_spacing": "trailing",
        },
        "store": {
            "text_encoder": {"dtype": "f16", "prefix": True, "position_ids": True},
            "unet": {"dtype": "f16"},
            "vae": {"dtype": "f32"},
        },
    },
    # Stable Diffusion XL: two text encoders of different widths, pooled text and six numbers added
    # to the time embedding, transformers of growing depth, zeros for an absent negative prompt.
    "sdxl": {
        "seed": 106,
        "index": {"pipeline": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True},
        "tokenizer": {"merges": 90},
        "tokenizer_2": {"merges": 40, "pad_token": "!"},
        "text_encoder": {
            "hidden_size": 24,
            "intermediate_size": 60,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "hidden_act": "quick_gelu",
        },
        "text_encoder_2": {
            "hidden_size": 30,
            "intermediate_size": 70,
            "num_hidden_layers": 3,
            "num_attention_heads": 5,
            "hidden_act": "gelu",
            "projection_dim": 22,
        },
        "unet": {
            "sample_size": 10,
            "block_out_channels": [8, 12, 16],
            "down_block_types": [PLAIN_DOWN, CROSS_DOWN, CROSS_DOWN],
            "up_block_types": [CROSS_UP, CROSS_UP, PLAIN_UP],
            "layers_per_block": 2,
            "norm_num_groups": 4,
            "attention_head_dim": [2, 3, 4],
            "transformer_layers_per_block": [1, 1, 2],
            "use_linear_projection": True,
            "cross_attention_dim": 54,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 22 + 6 * 8,
        },
        "vae": vae_config([6, 6, 8, 10], 2, 1, scaling_factor=0.13025, force_upcast=True),
        "scheduler": {
            "_class_name": "EulerDiscreteScheduler",
            "_diffusers_version": "0.42.1",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "clip_sample": False,
            "interpolation_type": "linear",
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "sample_max_value": 1.0,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "timestep_spacing": "leading",
            "trained_betas": None,
            "use_karras_sigmas": False,
        },
        "store": {
            "text_encoder": {"dtype": "f16", "prefix": True, "position_ids": True},
            "text_encoder_2": {"dtype": "f16", "position_ids": True},
            "unet": {"dtype": "f16"},
            "vae": {"dtype": "f16"},
        },
    },
    # A distilled XL: the second text encoder alone with the end token's old wrong id, a schedule
    # file that lacks what the SD 1 pipeline would correct, trailing steps, no zeros for an absent
    # negative prompt, odd sinusoids, blocks of different depths up and down, a mid block without
    # attention.
    "sdxl-distilled": {
        "seed": 107,
        "index": {"pipeline": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": False},
        "tokenizer_2": {"merges": 70, "pad_token": "!"},
        "text_encoder_2": {
            "hidden_size": 33,
            "intermediate_size": 75,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "hidden_act": "gelu",
            "projection_dim": 19,
            "eos_token_id": 2,
        },
        "unet": {
            "sample_size": [8, 12],
            "block_out_channels": [9, 15, 21],
            "down_block_types": [PLAIN_DOWN, CROSS_DOWN, CROSS_DOWN],
            "mid_block_type": "UNetMidBlock2D",
            "up_block_types": [CROSS_UP, CROSS_UP, PLAIN_UP],
            "layers_per_block": 2,
            "norm_num_groups": 3,
            "attention_head_dim": [3, 3, 3],
            "transformer_layers_per_block": [[0, 0], [2, 1], [1, 2]],
            "reverse_transformer_layers_per_block": [[1, 2, 1], [2, 1, 1], 1],
            "use_linear_projection": True,
            "cross_attention_dim": 33,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 7,
            "projection_class_embeddings_input_dim": 19 + 6 * 7,
        },
        "vae": vae_config([6, 8, 8, 10], 2, 1, scaling_factor=0.13025),
        "scheduler": {
            "_class_name": "EulerAncestralDiscreteScheduler",
            "_diffusers_version": "0.42.1",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "timestep_spacing": "trailing",
        },
        "store": {
            "text_encoder_2": {"dtype": "bf16"},
            "unet": {"dtype": "f16", "shards": 2},
            "vae": {"dtype": "bf16"},
        },
    },
    # SDXL's refiner: the second text encoder alone, five numbers of which one is a score, levels
    # with and without attention in the middle.
    "sdxl-refiner": {
        "seed": 109,
        "index": {
            "pipeline": "StableDiffusionXLImg2ImgPipeline",
            "force_zeros_for_empty_prompt": False,
            "requires_aesthetics_score": True,
        },
        "tokenizer_2": {"merges": 110, "pad_token": "!"},
        "text_encoder_2": {
            "hidden_size": 28,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "hidden_act": "gelu",
            "projection_dim": 17,
        },
        "unet": {
            "sample_size": 10,
            "block_out_channels": [6, 9, 12, 12],
            "down_block_types": [PLAIN_DOWN, CROSS_DOWN, CROSS_DOWN, PLAIN_DOWN],
            "up_block_types": [PLAIN_UP, CROSS_UP, CROSS_UP, PLAIN_UP],
            "layers_per_block": 2,
            "norm_num_groups": 3,
            "attention_head_dim": [2, 3, 4, 4],
            "transformer_layers_per_block": 2,
            "use_linear_projection": True,
            "cross_attention_dim": 28,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 17 + 5 * 8,
        },
        "vae": vae_config([6, 6, 8, 10], 2, 1, scaling_factor=0.13025),
        "scheduler": {
            "_class_name": "EulerDiscreteScheduler",
            "_diffusers_version": "0.42.1",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "steps_offset": 1,
            "timestep_spacing": "leading",
        },
        "store": {
            "text_encoder_2": {"dtype": "f16"},
            "unet": {"dtype": "f16"},
            "vae": {"dtype": "f16"},
        },
    },
    # The network of an inpainting checkpoint: the latents, a mask and the masked picture's latents.
    "inpainting": {
        "seed": 108,
        "index": {"pipeline": "StableDiffusionInpaintPipeline"},
        "tokenizer": {"merges": 20},
        "text_encoder": {
            "hidden_size": 24,
            "intermediate_size": 48,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "hidden_act": "quick_gelu",
        },
        "unet": {
            "sample_size": 8,
            "in_channels": 9,
            "block_out_channels": [8, 16],
            "down_block_types": [CROSS_DOWN, PLAIN_DOWN],
            "up_block_types": [PLAIN_UP, CROSS_UP],
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "attention_head_dim": 2,
            "cross_attention_dim": 24,
        },
        "vae": vae_config([6, 8], 2, 1),
        "scheduler": {
            "_class_name": "PNDMScheduler",
            "_diffusers_version": "0.42.1",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "num_train_timesteps": 1000,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
        },
        "store": {
            "text_encoder": {"dtype": "f16"},
            "unet": {"dtype": "f16"},
            "vae": {"dtype": "f16"},
        },
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SPECS)}; default all")
    for name in parser.parse_args().names or SPECS:
        write_model(FIXTURE_MODELS / name, SPECS[name])
        require_small(FIXTURE_MODELS / name)


if __name__ == "__main__":
    main()
