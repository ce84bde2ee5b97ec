"""The photo's side of a batch: pixels to latents and back, and the noise of each angle."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdaug.levers import Pipeline

REMEMBERED = 20
"""Source latents kept: ten angles of two people, 64 kB each at 512 px."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """The VAE encoder's answer for one image: mean and std (1, 4, h, w), no std from (AutoencoderTiny)."""

    mean: Any
    std: Any | None


@dataclass(frozen=True, eq=False)
class SourceCache:
    """Posteriors of the images last used, so that a second try at an angle does not encode it again."""

    posteriors: OrderedDict[str, Posterior] = field(default_factory=OrderedDict)

    def encode(self, pipeline: Pipeline, images: Sequence[np.ndarray]) -> list[Posterior]:
        """Of each image (S, S, 3) uint8 RGB, one after the other: the encoder's memory is that of one image."""
        keys = [hashlib.sha256(image.tobytes()).hexdigest() + str(image.shape) for image in images]
        if any(key not in self.posteriors for key in keys):
            with pipeline.encoding():
                for key, image in zip(keys, images, strict=True):
                    if key not in self.posteriors:
                        self.posteriors[key] = _encode(pipeline, image)
        for key in keys:
            self.posteriors.move_to_end(key)
        found = [self.posteriors[key] for key in keys]
        while len(self.posteriors) > max(REMEMBERED, len(keys)):
            self.posteriors.popitem(last=False)
        return found


def _encode(pipeline: Pipeline, image: np.ndarray) -> Posterior:
    encoded = pipeline.vae.encode((2.0 * to_tensor(image) - 1.0).to(pipeline.device, pipeline.dtype))
    spread = getattr(encoded, "latent_dist", None)
    if spread is None:
        # In tiles an AutoencoderTiny answers in float32 whatever it computes in.
        return Posterior(encoded.latents.to(pipeline.dtype), None)
    return Posterior(spread.mean, spread.std)


def to_tensor(image: np.ndarray) -> Any:
    """(S, S, 3) uint8 as (1, 3, S, S) float32 0..1 on the CPU."""
    import torch

    return torch.from_numpy(image.astype(np.float32) / 255.0).permute(2, 0, 1)[None]


def seeds(seed: int, indices: Sequence[int]) -> list[Any]:
    """A CPU torch.Generator for each angle: what it draws depends on seed and angle only, and on no device."""
    import torch

    words = [int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]) for index in indices]
    return [torch.Generator("cpu").manual_seed(word) for word in words]


def draw(pipeline: Pipeline, posteriors: Sequence[Posterior], generators: Sequence[Any]) -> tuple[Any, Any]:
    """(source latents, noise), each (B, 4, h, w), drawn from each image's generator in diffusers' order.

    The sample of the encoder's posterior is drawn even where there is no spread to sample, so that the noise is the
    same whatever VAE there is; and in float32, so that it is the same in every precision.
    """
    import torch

    def normal(like: Any, generator: Any) -> Any:
        return torch.randn(like.shape, generator=generator).to(like.device, like.dtype)

    sources, noises = [], []
    for posterior, generator in zip(posteriors, generators, strict=True):
        spread = normal(posterior.mean, generator)
        sources.append(posterior.mean if posterior.std is None else posterior.mean + posterior.std * spread)
        noises.append(normal(posterior.mean, generator))
    return torch.cat(sources) * pipeline.vae.config.scaling_factor, torch.cat(noises)


def decode(pipeline: Pipeline, latents: Any) -> Any:
    """(B, 4, h, w) latents as (B, 3, S, S) float pixels, about -1..1."""
    return pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor, return_dict=False)[0]


def to_pixels(pixels: Any) -> np.ndarray:
    """(3, S, S) about -1..1 as (S, S, 3) uint8 RGB."""
    import torch

    scaled = ((pixels.float() / 2 + 0.5).clamp(0, 1) * 255).round()
    return scaled.permute(1, 2, 0).to("cpu", torch.uint8).numpy()
