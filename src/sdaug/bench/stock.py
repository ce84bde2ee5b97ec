"""The baseline: diffusers' own ControlNet image-to-image pipeline, on the same weights as ours."""

import copy
import importlib
from typing import Any

import numpy as np
from PIL import Image

from sdaug.config import GenerationSettings
from sdaug.diffusion.components import Components
from sdaug.diffusion.source import seeds


def stock_pipeline(parts: Components, device: Any) -> Any:
    """StableDiffusionControlNetImg2ImgPipeline over twins of `parts`' networks: other objects, the same weights, so
    that what is done to the one pipeline's networks does not change the other's."""
    diffusers: Any = importlib.import_module("diffusers")
    pipe = diffusers.StableDiffusionControlNetImg2ImgPipeline(
        vae=_twin(parts.vae),
        text_encoder=None,
        tokenizer=None,
        unet=_twin(parts.unet),
        controlnet=_twin(parts.controlnet),
        scheduler=type(parts.scheduler).from_config(parts.scheduler.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def stock_image(
    pipe: Any, parts: Components, image: np.ndarray, control_image: np.ndarray, settings: GenerationSettings, index: int
) -> np.ndarray:
    """One image (S, S, 3) uint8 at strength 1, prompts already encoded; everything else as in `settings`."""
    made = pipe(
        image=Image.fromarray(image),
        control_image=Image.fromarray(control_image),
        strength=1.0,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        controlnet_conditioning_scale=settings.controlnet_conditioning_scale,
        generator=seeds(settings.seed, [index]),
        prompt_embeds=parts.prompt_embeds.to(pipe.device, pipe.unet.dtype),
        negative_prompt_embeds=parts.negative_prompt_embeds.to(pipe.device, pipe.unet.dtype),
    ).images[0]
    return np.asarray(made)


def _twin(network: Any) -> Any:
    """The same numbers in memory under other modules and parameters: what a lever does to the one, in place or by
    another number format, does not reach the other."""
    import torch

    twin = copy.copy(network)
    twin._modules = {name: child if child is None else _twin(child) for name, child in network._modules.items()}
    twin._parameters = {
        name: weight if weight is None else torch.nn.Parameter(weight.data, requires_grad=False)
        for name, weight in network._parameters.items()
    }
    twin._buffers = dict(network._buffers)
    return twin
