"""Stable Diffusion 1.5 + ControlNet, image to image: a turned view in, a harmonised face out."""

import gc
import importlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdaug import plugins
from sdaug.config import GenerationSettings, ModelSettings
from sdaug.diffusion.components import Components
from sdaug.diffusion.weights import load_components
from sdaug.types import Reason, View

PROMPT = "a sharp photograph of a person's face, neutral expression, plain background, even light"
NEGATIVE_PROMPT = "blurry, drawing, painting, distorted face, extra face, text"

log = logging.getLogger("sdaug.diffusion")


class NotFinite(RuntimeError):
    """The denoiser or the VAE gave NaN or infinity, which as a picture would be silently black or white."""

    reason = Reason.NOT_FINITE


@dataclass(frozen=True, eq=False)
class DiffusionGenerator:
    """A loaded pipeline, ready to generate. Made by `load_generator`; `close` it to have its memory back.

    pipe: diffusers' StableDiffusionControlNetImg2ImgPipeline without text encoder or safety checker.
    prompt_embeds, negative_prompt_embeds: (1, 77, D) float32. facts: what runs, JSON-able, for the record.
    """

    pipe: Any
    prompt_embeds: Any
    negative_prompt_embeds: Any
    facts: dict[str, Any]

    def generate(
        self,
        views: Sequence[View],
        control_images: Sequence[np.ndarray],
        settings: GenerationSettings,
        *,
        indices: Sequence[int] | None = None,
    ) -> Iterator[np.ndarray]:
        """One image `(S, S, 3)` uint8 RGB for each view, in order, each made when it is asked for.

        views: their `image` is what is noised, so its holes are filled beforehand; S a multiple of 8, 512 for SD1.5.
        control_images: `(S, S, 3)` uint8 RGB, one for each view.
        settings: `strength` is how far a view is noised, and `int(num_inference_steps * strength)` denoising steps are
        run, but at least one.
        indices: each view's place in the angle list, by default its place in `views`. Noise depends on seed and index
        only, so an angle comes out the same however many others are asked for, and alone.

        Raises `ValueError` at once for images of the wrong shape, `NotFinite` when an image is made.
        """
        if self.pipe.unet is None:
            raise RuntimeError("this generator is closed")
        indices = range(len(views)) if indices is None else indices
        if not len(views) == len(control_images) == len(indices):
            raise ValueError(f"{len(views)} views, {len(control_images)} control images and {len(indices)} indices")
        jobs = list(zip(indices, views, control_images, strict=True))
        for index, view, control_image in jobs:
            _check_image(f"view {index}", view.image, view.image.shape[:1] * 2)
            _check_image(f"control image {index}", control_image, view.image.shape[:2])
        return (self._image(view.image, control_image, settings, index) for index, view, control_image in jobs)

    def _image(
        self, image: np.ndarray, control_image: np.ndarray, settings: GenerationSettings, index: int
    ) -> np.ndarray:
        import torch
        from PIL import Image

        steps = settings.num_inference_steps
        seed = int(np.random.SeedSequence([settings.seed, index]).generate_state(1, np.uint64)[0])
        latents = self.pipe(
            image=Image.fromarray(image),
            control_image=Image.fromarray(control_image),
            # A little over 1/steps: int(49 * (1/49)) is 0.
            strength=max(settings.strength, min(1.0, 1.001 / steps)),
            num_inference_steps=steps,
            guidance_scale=settings.guidance_scale,
            controlnet_conditioning_scale=settings.controlnet_conditioning_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
            prompt_embeds=self.prompt_embeds,
            negative_prompt_embeds=self.negative_prompt_embeds,
            # Decoded here: the pipeline clamps its pixels, and a clamped infinity is a plain white one.
            output_type="latent",
        ).images
        _check_finite(f"latents of angle {index}", latents)
        vae = self.pipe.vae
        with torch.no_grad():
            pixels = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
        _check_finite(f"image of angle {index}", pixels)
        pixels = ((pixels[0].float() / 2 + 0.5).clamp(0, 1) * 255).round()
        return pixels.permute(1, 2, 0).to("cpu", torch.uint8).numpy()

    def close(self) -> None:
        """Give the memory back, even if something else still refers to a network. Calling it twice does no harm."""
        import torch

        for name, part in self.pipe.components.items():
            if isinstance(part, torch.nn.Module):
                part.to("meta")
            setattr(self.pipe, name, None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def load_generator(model: ModelSettings, levers: dict[str, dict[str, Any]]) -> DiffusionGenerator:
    """Weights read, prompt encoded, pipeline on its device and `levers` applied in order.

    levers: name -> options, as in YAML. Without any: float32 and torch's fused attention.
    Raises `PluginError` for an unknown lever or option, `WeightsError`, `LeverSkipped`, and `ValueError` for a device
    that cannot be. CUDA where there is none becomes the CPU: warned of, and `facts["degraded"]` says `no_gpu`. Random
    weights are no such step down, since they were asked for by name: `facts["reasons"]` says `random_weights`.
    """
    chosen = {name: plugins.load("sdaug.levers", name, options) for name, options in levers.items()}
    if not re.fullmatch(r"cpu|cuda(:\d+)?", model.device):
        raise ValueError(f"unknown device {model.device!r}; 'cpu', 'cuda' or 'cuda:' and a number expected")
    # The weights first: that there are none is known before torch is even imported.
    parts = load_components(model)
    device, degraded = _device(model.device)
    pipe = _assemble(parts)
    prompt_embeds, negative_prompt_embeds = _prompt_embeds(parts, pipe)
    pipe.to(device)
    for lever in chosen.values():
        lever.apply(pipe)
    networks = {name: getattr(parts, name) for name in parts.digests}
    facts = {
        "model_id": model.model_id,
        "revision": model.pinned_revision,
        "controlnet_id": "random" if parts.random else model.controlnet_id,
        "controlnet_revision": model.pinned_controlnet_revision,
        "random": parts.random,
        "reasons": [Reason.RANDOM_WEIGHTS.value] if parts.random else [],
        "device": str(pipe.device),
        "dtype": str(pipe.unet.dtype).removeprefix("torch."),
        "scheduler": type(parts.scheduler).__name__,
        "timestep_spacing": parts.scheduler.config.get("timestep_spacing"),
        "parameters": {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()},
        "sha256": parts.digests,
        "safety_checker": "absent",
        "levers": {name: lever.model_dump() for name, lever in chosen.items()},
        "degraded": degraded,
    }
    return DiffusionGenerator(pipe, prompt_embeds, negative_prompt_embeds, facts)


def _assemble(parts: Components) -> Any:
    diffusers: Any = importlib.import_module("diffusers")  # its lazy names say nothing to a type checker
    pipe = diffusers.StableDiffusionControlNetImg2ImgPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=parts.unet,
        controlnet=parts.controlnet,
        scheduler=parts.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _prompt_embeds(parts: Components, pipe: Any) -> tuple[Any, Any]:
    """Both prompts encoded once, on the CPU, and the text encoder dropped before anything goes to a GPU."""
    import torch

    if parts.text_encoder is None:
        return parts.prompt_embeds, parts.negative_prompt_embeds
    with torch.no_grad():
        embeds = pipe.encode_prompt(PROMPT, torch.device("cpu"), 1, True, NEGATIVE_PROMPT)
    pipe.text_encoder = None
    return embeds


def _device(asked: str) -> tuple[Any, list[str]]:
    import torch

    device = torch.device(asked)
    if device.type == "cpu":
        return device, []
    if not torch.cuda.is_available():
        log.warning("no GPU here: %s was asked for, the CPU is used, in float32 unless a lever says otherwise", asked)
        return torch.device("cpu"), [Reason.NO_GPU.value]
    if (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {asked!r} is not here; there are {torch.cuda.device_count()} GPUs, from cuda:0")
    return device, []


def _check_image(what: str, image: np.ndarray, size: tuple[int, ...]) -> None:
    if image.dtype != np.uint8 or image.shape != (*size, 3) or size[0] % 8 or not size[0]:
        raise ValueError(
            f"{what} is {image.dtype} {image.shape}; uint8 {(*size, 3)} expected, its side a multiple of 8"
        )


def _check_finite(what: str, tensor: Any) -> None:
    import torch

    if not torch.isfinite(tensor).all():
        raise NotFinite(f"{what}: {int((~torch.isfinite(tensor)).sum())} of {tensor.numel()} values are not finite")
