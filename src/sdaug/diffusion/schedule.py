"""What is done at each denoising step: with guidance or without, ControlNet run, reused or skipped."""

from dataclasses import dataclass
from typing import Literal

from sdaug.config import GenerationSettings


@dataclass(frozen=True)
class Step:
    """guided: the UNet, and ControlNet with it, also sees the negative prompt. controlnet: "run" it, "reuse" what it
    last gave, or "skip" it: its forward pass does not happen."""

    guided: bool
    controlnet: Literal["run", "reuse", "skip"]


def plan_steps(count: int, settings: GenerationSettings) -> tuple[Step, ...]:
    """The `count` steps that are left to run, in order.

    A step i is within [start, end] if i / count >= start and (i + 1) / count <= end, as in diffusers' ControlNet
    pipelines, which count the same steps. Guidance is off throughout for a scale of 1 or less.

    >>> half = GenerationSettings(guidance_scale=7.5, guidance_end=0.5, control_guidance_end=0.5)
    >>> [(step.guided, step.controlnet) for step in plan_steps(4, half)]
    [(True, 'run'), (True, 'run'), (False, 'skip'), (False, 'skip')]
    >>> [step.controlnet for step in plan_steps(5, GenerationSettings(controlnet_interval=2))]
    ['run', 'reuse', 'run', 'reuse', 'run']
    """
    steps: list[Step] = []
    since_run = settings.controlnet_interval
    for i in range(count):
        guided = settings.guidance_scale > 1 and _within(i, count, settings.guidance_start, settings.guidance_end)
        controlled = settings.controlnet_conditioning_scale > 0 and _within(
            i, count, settings.control_guidance_start, settings.control_guidance_end
        )
        # What was made for the positive prompt alone is no use to a guided step.
        stale = since_run >= settings.controlnet_interval or (guided and not steps[-1].guided)
        what: Literal["run", "reuse", "skip"] = "skip" if not controlled else "run" if stale else "reuse"
        since_run = 1 if what == "run" else since_run + 1
        steps.append(Step(guided, what))
    return tuple(steps)


def _within(i: int, count: int, start: float, end: float) -> bool:
    return i / count >= start and (i + 1) / count <= end


@dataclass(frozen=True)
class Evaluations:
    """Forward passes of one batch. A guided one is as much work as two."""

    unet: int
    unet_guided: int
    controlnet: int
    controlnet_guided: int


def evaluations(steps: tuple[Step, ...]) -> Evaluations:
    """How many of `steps` run each network, and how many of those with guidance.

    >>> evaluations((Step(True, "run"), Step(False, "reuse"), Step(False, "run")))
    Evaluations(unet=3, unet_guided=1, controlnet=2, controlnet_guided=1)
    """
    ran = [step for step in steps if step.controlnet == "run"]
    return Evaluations(len(steps), sum(s.guided for s in steps), len(ran), sum(s.guided for s in ran))
