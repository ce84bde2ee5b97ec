"""Stable Diffusion 1.5 + ControlNet over turned views: what the photo shows stays, what it does not is invented."""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from sdaug.config import GenerationSettings
from sdaug.diffusion.adapters import Adapters
from sdaug.diffusion.colour import in_tune
from sdaug.diffusion.loop import Conditions, Identity, Start, denoise, idle_steps
from sdaug.diffusion.schedule import Evaluations, evaluations, plan_steps
from sdaug.diffusion.schedulers import choose_scheduler
from sdaug.diffusion.source import SourceCache, decode, draw, seeds, to_pixels, to_tensor
from sdaug.diffusion.strength import first_steps, kept, number_of_steps, strength_map
from sdaug.levers import Pipeline
from sdaug.measure.passes import passed
from sdaug.measure.stages import stage
from sdaug.types import Reason, View

log = logging.getLogger("sdaug.diffusion")


@dataclass(frozen=True)
class Job:
    """One angle to make. control_image: (S, S, 3) uint8 RGB. index: its place in the angle list."""

    index: int
    view: View
    control_image: np.ndarray


@dataclass(frozen=True)
class Generated:
    """What became of one job.

    image: (S, S, 3) uint8 RGB, the view's own pixels where they are valid and the diffused ones, their broad colours
    brought to the view's, elsewhere; diffused: as they came, everywhere. Both None where `failure` says why there is no
    picture. evaluations: of its whole batch.
    """

    index: int
    image: np.ndarray | None
    diffused: np.ndarray | None
    evaluations: Evaluations
    batch: int
    failure: Reason | None = None
    message: str = ""


@dataclass(frozen=True, eq=False)
class DiffusionGenerator:
    """A loaded pipeline, ready to generate. Made by `load_generator`; `close` it to have its memory back.

    prompt_embeds, negative_prompt_embeds: (1, 77, D) float32 on the CPU. facts: what runs, JSON-able, for the record.
    flags: for images (B, S, S, 3) uint8, which the safety checker objects to; None where it is off or absent.
    """

    pipeline: Pipeline
    prompt_embeds: Any
    negative_prompt_embeds: Any
    facts: dict[str, Any]
    adapters: Adapters = field(default_factory=Adapters)
    flags: Callable[[np.ndarray], list[bool]] | None = None
    sources: SourceCache = field(default_factory=SourceCache)

    def generate(
        self,
        jobs: Sequence[Job],
        settings: GenerationSettings,
        *,
        identity: Identity | None = None,
        share: float = 1.0,
    ) -> Iterator[Generated]:
        """One result for each job, in order, a batch of `settings.batch_size` at a time, each when it is asked for.

        Every view is square, its side a multiple of 8. Noise depends on seed and index only, so an angle comes out the
        same (but for the last bit) however many others are asked for, and alone.
        share: of both strengths, whoever has set them; a second try asks for less.
        identity: from `self.identity`, needed where a face adapter is loaded and refused elsewhere.
        Raises `ValueError` at once for images of the wrong shape. Running out of memory is raised when it happens; the
        jobs of that batch can be given again.
        """
        if self.pipeline.unet is None:
            raise RuntimeError("this generator is closed")
        if (identity is None) != (self.adapters.embedding_dim is None):
            asks = "wants a face embedding at every call" if identity is None else "has no face adapter"
            raise ValueError(f"this generator {asks}, got identity={identity!r}")
        for job in jobs:
            side = len(job.view.image)
            _check_image(f"view {job.index}", job.view.image, side)
            _check_image(f"control image {job.index}", job.control_image, side)
        settings = self.settings_for(settings)
        less = {name: getattr(settings, name) * share for name in ("strength", "hole_strength")}
        settings = settings.model_copy(update=less)
        most = settings.batch_size or len(jobs)
        batches = [jobs[i : i + most] for i in range(0, len(jobs), most)]
        return (made for batch in batches for made in self._batch(batch, settings, identity))

    def identity(self, embedding: np.ndarray) -> Identity:
        """What steers every angle towards one person: see `Adapters.identity`."""
        return self.adapters.identity(embedding, self.pipeline.dtype, self.pipeline.device)

    def settings_for(self, settings: GenerationSettings) -> GenerationSettings:
        """What is run when `settings` are asked for: those that a lever holds stand, none is above its cap."""
        asked = settings.model_dump() | self.pipeline.call
        for name, most in self.pipeline.caps.items():
            asked[name] = most if asked[name] is None else min(asked[name], most)
        return GenerationSettings.model_validate(asked)

    def _batch(self, jobs: Sequence[Job], settings: GenerationSettings, identity: Identity | None) -> list[Generated]:
        import torch

        try:
            with torch.inference_mode():
                return self._made(jobs, settings, identity)
        finally:
            for done in self.pipeline.after_call:
                done()

    def _made(self, jobs: Sequence[Job], settings: GenerationSettings, identity: Identity | None) -> list[Generated]:
        import torch

        pipeline, n = self.pipeline, settings.num_inference_steps
        stay = [kept(job.view.valid) for job in jobs]
        small = [_resized(share, settings.size) for share in stay]
        begins = np.stack([first_steps(strength_map(s, settings.strength, settings.hole_strength), n) for s in small])
        generators = seeds(settings.seed, [job.index for job in jobs])
        with stage("vae_encode"):
            posteriors = self.sources.encode(pipeline, [_resized(job.view.image, settings.size) for job in jobs])
        source, noise = draw(pipeline, posteriors, generators)
        scheduler = choose_scheduler(pipeline.scheduler, settings.scheduler)
        with stage("hint"):
            hints = self._hints(jobs, settings)
        conditions = Conditions(*self._prompts(), hints, identity)
        # Of the settings and not of these views: what an angle gets must not depend on which others are beside it.
        first = n - number_of_steps(max(settings.strength, settings.hole_strength), n)
        start = Start(source, noise, begins, first=first)
        latents = denoise(pipeline, scheduler, start, conditions, settings, generators)
        steps = plan_steps(len(scheduler.timesteps) - first * scheduler.order, settings)
        counted = evaluations(steps[idle_steps(scheduler, start, first, steps) :])
        made = [Generated(job.index, None, None, counted, len(jobs)) for job in jobs]
        # A tiny VAE's decoder squashes infinity into a colour.
        finite = [bool(torch.isfinite(latent).all()) for latent in latents]
        passed("decode", len(jobs))
        with stage("vae_decode"):
            decoded = decode(pipeline, latents)
        for i, pixels in enumerate(decoded):
            if finite[i]:
                with stage("blend"):
                    made[i] = self._result(made[i], jobs[i].view, stay[i], pixels)
            else:
                made[i] = _failed(made[i], Reason.NOT_FINITE, "not all latents are finite")
        return made

    def _result(self, blank: Generated, view: View, stays: np.ndarray, pixels: Any) -> Generated:
        """`blank` with the picture of `pixels` (3, S, S), or with why there is none."""
        import torch

        if not torch.isfinite(pixels).all():
            return _failed(blank, Reason.NOT_FINITE, "not all values of the decoded image are finite")
        diffused = _resized(to_pixels(pixels), len(view.image))
        if not diffused.any():
            return _failed(blank, Reason.BLACK_IMAGE, "the image is black everywhere")
        if self.flags is not None and self.flags(diffused[None])[0]:
            return _failed(blank, Reason.UNSAFE_IMAGE, "the safety checker objects to the image")
        image = cv2.blendLinear(view.image, in_tune(diffused, view.image, stays), stays, 1 - stays)
        return replace(blank, image=image, diffused=diffused)

    def _prompts(self) -> tuple[Any, Any]:
        to = self.pipeline.device, self.pipeline.dtype
        return self.prompt_embeds.to(*to), self.negative_prompt_embeds.to(*to)

    def _hints(self, jobs: Sequence[Job], settings: GenerationSettings) -> Any:
        import torch

        if settings.controlnet_conditioning_scale <= 0:
            return None
        images = torch.cat([to_tensor(_resized(job.control_image, settings.size)) for job in jobs])
        return self.pipeline.hint(images.to(self.pipeline.device, self.pipeline.dtype))

    def close(self) -> None:
        """Give the memory back, even if something else still refers to a network. Calling it twice does no harm."""
        import torch

        self.pipeline.put_back()
        self.sources.posteriors.clear()
        for name, network in self.pipeline.networks.items():
            if isinstance(network, torch.nn.Module):
                network.to("meta")
            setattr(self.pipeline, name, None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _failed(blank: Generated, reason: Reason, why: str) -> Generated:
    return replace(blank, failure=reason, message=f"angle {blank.index}: {why}")


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    """At `side` pixels, unchanged where it has them."""
    if len(image) == side:
        return image
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if side < len(image) else cv2.INTER_CUBIC)


def _check_image(what: str, image: np.ndarray, side: int) -> None:
    if image.dtype != np.uint8 or image.shape != (side, side, 3) or side % 8 or not side:
        raise ValueError(
            f"{what} is {image.dtype} {image.shape}; uint8 {(side, side, 3)} expected, its side a multiple of 8"
        )
