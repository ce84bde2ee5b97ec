"""The networks of sdaug-nano: diffusers' own classes, small."""

import importlib
from typing import Any

LATENT_CHANNELS = 16
UNSCALED = 1.0
"""The scaling factor of a VAE whose latents were never measured."""

WIDTH = 96
"""Of a prompt's embedding."""

_BLOCKS: dict[str, Any] = dict(
    block_out_channels=(48, 64, 96),
    layers_per_block=1,
    norm_num_groups=8,
    cross_attention_dim=WIDTH,
    attention_head_dim=3,  # diffusers' name for the number of heads
    in_channels=LATENT_CHANNELS,
    down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
)


def _diffusers() -> Any:
    return importlib.import_module("diffusers")  # its lazy names say nothing to a type checker


def new_vae() -> Any:
    """AutoencoderKL, factor 8: 16 latent channels keep twice the detail of 4, and noise hides less of them."""
    return _diffusers().AutoencoderKL(
        block_out_channels=(16, 32, 64, 80),
        layers_per_block=1,
        norm_num_groups=2,  # of 8 channels and more: groups of two lose the colour that a whole picture has
        latent_channels=LATENT_CHANNELS,
        sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=UNSCALED,
    )


def new_tiny_vae() -> Any:
    """AutoencoderTiny on the same latents."""
    return _diffusers().AutoencoderTiny(
        encoder_block_out_channels=(24, 24, 24, 24),
        decoder_block_out_channels=(24, 24, 24, 24),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
        latent_channels=LATENT_CHANNELS,
    )


def new_unet() -> Any:
    """UNet2DConditionModel over three levels; attention, to itself and to the prompt, at the lowest."""
    return _diffusers().UNet2DConditionModel(
        sample_size=64,
        out_channels=LATENT_CHANNELS,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        **_BLOCKS,
    )


def new_controlnet() -> Any:
    """ControlNetModel of the same levels, for a control image in RGB."""
    return _diffusers().ControlNetModel(conditioning_embedding_out_channels=(8, 8, 16, 32), **_BLOCKS)


def new_scheduler() -> Any:
    """SD1.5's noise, so that a strength means what it means there; v-prediction, which holds at few steps."""
    return _diffusers().DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )
