"""Stable Diffusion 1.5 at its full size with random weights, for measuring what it costs: `model_id="random-sd15"`."""

import importlib
from functools import partial
from typing import Any

from sdaug.costmodel.architecture import build
from sdaug.diffusion.components import Components


def full_size_components(dtype: Any = "float32", seed: int = 0) -> Components:
    """1.3 billion seeded random parameters, 5.2 GB in float32, made in half a minute; the pictures are noise.

    The global random state is left as it was. ControlNet's output layers, zero in an untrained one, are random too.
    """
    import torch

    diffusers: Any = importlib.import_module("diffusers")  # its lazy names say nothing to a type checker
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would reseed every GPU as well, which fork_rng would have to put back.
        torch.default_generator.manual_seed(seed)
        unet, controlnet, vae = (
            build(part, device="cpu", dtype=getattr(torch, dtype)) for part in ("unet", "controlnet", "vae")
        )
        outputs: list[Any] = [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]
        with torch.no_grad():
            for layer in outputs:
                layer.weight.normal_(std=0.02)
        prompt_embeds, negative_prompt_embeds = torch.randn(2, 1, 77, 768).unbind(0)
    encoder = {
        name: value.clone() for name, value in vae.state_dict().items() if name.startswith(("encoder.", "quant_conv."))
    }
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return Components(
        unet=unet,
        controlnet=controlnet,
        vae=vae,
        scheduler=scheduler,
        digests={},
        random=True,
        make_tiny_vae=_tiny_vae,
        make_vae_encoder=partial(_encoder_half, encoder),
        prompt_embeds=prompt_embeds,
        negative_prompt_embeds=negative_prompt_embeds,
    )


def _encoder_half(state: dict[str, Any], dtype: str) -> dict[str, Any]:
    import torch

    return {name: value.to(getattr(torch, dtype)) for name, value in state.items()}


def _tiny_vae(dtype: str) -> tuple[Any, str]:
    """As large as TAESD, and a word in place of a digest: nothing was read."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return build("tiny_vae", device="cpu", dtype=getattr(torch, dtype)), "random"
