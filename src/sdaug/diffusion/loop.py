"""The denoising loop, over diffusers' networks and schedulers.

The stock pipelines run ControlNet on steps where it counts for nothing, cannot stop guidance midway for a batch, and
know only masks of yes and no. With one strength everywhere this loop gives what
StableDiffusionControlNetImg2ImgPipeline gives; with two, one of them 0, what ...InpaintPipeline gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdaug.config import GenerationSettings
from sdaug.diffusion.schedule import Step, plan_steps
from sdaug.levers import Pipeline
from sdaug.measure.passes import passed
from sdaug.measure.stages import stage

MEMORYLESS = ("DDIMScheduler", "EulerDiscreteScheduler")
"""Schedulers whose step, without eta and churn, keeps nothing of the steps before and draws no noise."""

Identity = Callable[[int, bool], dict[str, Any]]
"""(batch, guided) -> the UNet's `added_cond_kwargs` that carry a face embedding."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """What steers a batch of B images.

    prompt_embeds, negative_prompt_embeds: (1, 77, D) tensors. hints: (B, C, h, w) tensor from `Pipeline.hint`, None
    where no step runs ControlNet. identity: for the UNet alone.
    """

    prompt_embeds: Any
    negative_prompt_embeds: Any
    hints: Any = None
    identity: Identity | None = None


@dataclass(frozen=True, eq=False)
class Start:
    """Where a batch starts from.

    source: (B, 4, h, w) tensor, the clean photo's latents. noise: the same shape, unit normal. first_steps: (B, h, w)
    int, from `strength.first_steps`. first: the step that the whole batch starts at, by default the earliest of those;
    which windows a step is in, and what a multistep scheduler remembers, are counted from it. pure_noise: places of the
    very first step start from noise alone and not from the noised photo, as in diffusers' inpainting at strength 1.
    """

    source: Any
    noise: Any
    first_steps: np.ndarray
    pure_noise: bool = False
    first: int | None = None


def denoise(
    pipeline: Pipeline,
    scheduler: Any,
    start: Start,
    conditions: Conditions,
    settings: GenerationSettings,
    generators: Sequence[Any],
) -> Any:
    """Latents (B, 4, h, w) of the denoised batch.

    scheduler: used up by this call; from `choose_scheduler`. generators: one torch.Generator an image, for schedulers
    that add noise at every step.
    """
    import torch

    n = settings.num_inference_steps
    scheduler.set_timesteps(n, device=pipeline.device)
    first = min(int(start.first_steps.min()) if start.first is None else start.first, n - 1)
    timesteps = scheduler.timesteps[first * scheduler.order :]
    steps = plan_steps(len(timesteps), settings)
    idle = idle_steps(scheduler, start, first, steps)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first * scheduler.order + idle)
    begins = torch.as_tensor(start.first_steps, device=pipeline.device)[:, None]

    if start.pure_noise and first + idle == 0:
        latents = start.noise * scheduler.init_noise_sigma
    else:
        latents = _photo(scheduler, start, timesteps, idle)
    uniform = bool((start.first_steps == first).all())
    keywords = _step_keywords(scheduler, list(generators))
    residuals: dict[str, Any] = {}
    for i in range(idle, len(steps)):
        with stage("step"):
            prediction, residuals = _predict(
                pipeline, scheduler, latents, timesteps[i], steps[i], conditions, settings, residuals
            )
            latents = scheduler.step(prediction, timesteps[i], latents, **keywords, return_dict=False)[0]
        if not uniform:
            waiting = begins >= min(first + i + 1, n)
            latents = torch.where(waiting, _photo(scheduler, start, timesteps, i + 1).to(latents.dtype), latents)
    return latents


def idle_steps(scheduler: Any, start: Start, first: int, steps: Sequence[Step]) -> int:
    """How many of `steps`, which begin at the schedule's step `first`, need not run: every place is held at the photo
    through them, and the scheduler remembers nothing. Those from which ControlNet's features are reused later do run.
    """
    if type(scheduler).__name__ not in MEMORYLESS:
        return 0
    idle = min(int(start.first_steps.min()) - first, len(steps))
    while 0 < idle < len(steps) and steps[idle].controlnet == "reuse":
        idle -= 1
    return idle


def _predict(
    pipeline: Pipeline,
    scheduler: Any,
    latents: Any,
    timestep: Any,
    step: Step,
    conditions: Conditions,
    settings: GenerationSettings,
    residuals: dict[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """The noise prediction, and ControlNet's residuals for steps that reuse them."""
    import torch

    batch = len(latents)
    seen = scheduler.scale_model_input(torch.cat([latents] * 2) if step.guided else latents, timestep)
    prompts = conditions.prompt_embeds.expand(batch, -1, -1)
    if step.guided:
        prompts = torch.cat([conditions.negative_prompt_embeds.expand(batch, -1, -1), prompts])
    if step.controlnet == "run":
        residuals.clear()  # the caller's: 13 MiB an image at 512 px in float16, until the UNet is through
        hints = torch.cat([conditions.hints] * 2) if step.guided else conditions.hints
        passed("controlnet", len(seen))
        down, middle = pipeline.controlnet(
            seen,
            timestep,
            encoder_hidden_states=prompts,
            controlnet_cond=hints,
            conditioning_scale=settings.controlnet_conditioning_scale,
            return_dict=False,
        )
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    elif step.controlnet == "reuse":
        residuals = _for_batch(residuals, len(seen))
    identity = conditions.identity(batch, step.guided) if conditions.identity else None
    passed("unet", len(seen))
    prediction = pipeline.unet(
        seen,
        timestep,
        encoder_hidden_states=prompts,
        added_cond_kwargs=identity,
        return_dict=False,
        **(residuals if step.controlnet != "skip" else {}),
    )[0]
    if step.guided:
        negative, positive = prediction.chunk(2)
        prediction = negative + settings.guidance_scale * (positive - negative)
    return prediction, residuals


def _for_batch(residuals: dict[str, Any], batch: int) -> dict[str, Any]:
    """Residuals of a guided step cut to the positive half where the step that reuses them is not guided."""
    middle = residuals["mid_block_additional_residual"]
    if len(middle) == batch:
        return residuals
    down = [part[-batch:] for part in residuals["down_block_additional_residuals"]]
    return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle[-batch:]}


def _photo(scheduler: Any, start: Start, timesteps: Any, i: int) -> Any:
    """The photo's latents, noised as step `i` expects them, clean after the last."""
    if i == len(timesteps):
        return start.source
    return scheduler.add_noise(start.source, start.noise, timesteps[i : i + 1])


def _step_keywords(scheduler: Any, generators: list[Any]) -> dict[str, Any]:
    """What this scheduler's `step` takes of `eta` (0, as diffusers' default) and `generator`."""
    import inspect

    known = inspect.signature(scheduler.step).parameters
    return {k: v for k, v in {"eta": 0.0, "generator": generators}.items() if k in known}
