"""Stable Diffusion XL, counted: not run by this project, but the best documented diffusion on an Orin."""

import importlib
from functools import cache
from typing import Any

from sdaug.costmodel.parts import count_part, meta
from sdaug.costmodel.work import Work, total

SIDE = 1024

_UNET: dict[str, Any] = dict(
    sample_size=128,
    in_channels=4,
    out_channels=4,
    block_out_channels=(320, 640, 1280),
    layers_per_block=2,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    transformer_layers_per_block=(1, 2, 10),
    attention_head_dim=(5, 10, 20),
    cross_attention_dim=2048,
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)


@cache
def count_unet(batch: int = 2) -> Work:
    """One evaluation at 1024 px in float16; two images are one with guidance.

    >>> round(count_unet().flops / 1e9)
    13522
    """
    import torch

    from sdaug.costmodel.count import counting

    diffusers: Any = importlib.import_module("diffusers")  # its lazy names say nothing to a type checker
    with torch.device("meta"):
        unet = torch.nn.Module.to(diffusers.UNet2DConditionModel(**_UNET), dtype=torch.float16).eval()
    more = {"text_embeds": meta(batch, 1280), "time_ids": meta(batch, 6)}
    latents, prompts = meta(batch, 4, SIDE // 8, SIDE // 8), meta(batch, 77, 2048)
    with torch.no_grad(), counting() as counter:
        unet(latents, meta(dtype="int64"), encoder_hidden_states=prompts, added_cond_kwargs=more)
    return counter.work


def count_image(num_inference_steps: int = 20) -> Work:
    """An image with guidance on every step, its decoding included; the prompts, under 0.1 % of it, are not."""
    return total({count_unet(2): num_inference_steps, count_part("vae_decode", 1, SIDE): 1})
