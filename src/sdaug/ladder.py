"""Degrade, never fail: from diffusion down to the warp down to a refusal, every step with its reason."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sdaug.gate import Gate
from sdaug.packs import face_from_landmarks
from sdaug.types import AngleResult, Judgement, RawOutput, Reason, Rung, View

log = logging.getLogger("sdaug.ladder")

REDUCED = 0.5
"""The second try at a refused angle runs at this share of the strength: closer to the warp, less to go wrong."""


class GenerationFailed(RuntimeError):
    """Diffusion could not make an image; `reason` says why."""

    def __init__(self, reason: Reason, message: str):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Diffused:
    """A diffusion image of one angle.

    image: (S, S, 3) uint8 RGB, the photo's own pixels where it shows them. raw: as diffusion left it. steps: why it was
    made with less than was asked for (memory). share_s: this angle's part of the work; waited_s: how long it took to
    come, which for the first of a batch is the whole batch.
    """

    image: np.ndarray
    raw: np.ndarray
    steps: tuple[Reason, ...] = ()
    share_s: float = 0.0
    waited_s: float = 0.0


Diffuse = Callable[[int, float], Diffused]
"""(angle index, share of the strength) -> its image; raises GenerationFailed."""


@dataclass(frozen=True)
class Candidate:
    """An image that a rung offers, and what the gate says of it."""

    rung: Rung
    image: np.ndarray
    judgement: Judgement


def raw_output(gate: Gate, view: View, image: np.ndarray) -> RawOutput:
    """A diffusion image as it came, compared at the landmarks it was asked to have."""
    face = face_from_landmarks(view.landmarks, 0.0)
    return RawOutput(image, gate.similarity(image, face), gate.judge(image, view.pose))


def climb_down(
    index: int,
    view: View,
    gate: Gate,
    diffuse: Diffuse | None,
    unavailable: tuple[Reason, ...],
    started: float,
    *,
    untrained: bool = False,
    strict: bool = False,
) -> AngleResult:
    """The best accepted image of one angle.

    diffuse: None where diffusion is not asked for or not to be had, `unavailable` says why. started:
    time.perf_counter() at the beginning of the angle's work. untrained: the weights are random, so that what diffusion
    makes is recorded but never kept. strict: no rung but the one asked for; GenerationFailed is raised, and what the
    gate refuses stays refused.
    """
    degraded = list(unavailable)
    raw: RawOutput | None = None
    rungs: tuple[tuple[Rung, float], ...] = (("diffusion", 1.0), ("diffusion_reduced", REDUCED))
    for rung, share in rungs[: 1 if strict or untrained else 2] if diffuse else ():
        assert diffuse is not None
        try:
            made = diffuse(index, share)
        except GenerationFailed as failure:
            if strict:
                raise
            log.info("angle %d: diffusion failed: %s", index, failure)
            degraded.append(failure.reason)
            break
        started += made.waited_s - made.share_s
        degraded.extend(made.steps)
        if raw is None:
            raw = raw_output(gate, view, made.raw)
        if untrained:
            degraded.append(Reason.RANDOM_WEIGHTS)
            break
        last = gate.judge(made.image, view.pose)
        if last.accepted:
            kept = Candidate("diffusion_reduced" if made.steps else rung, made.image, last)
            return _result(index, view, kept, degraded, raw, started)
        if strict:
            return _result(index, view, Candidate("refused", made.image, last), degraded, raw, started)
        degraded.extend(last.reasons)
    last = gate.judge(view.image, view.pose)
    offered = Candidate("warp" if last.accepted else "refused", view.image, last)
    return _result(index, view, offered, degraded, raw, started)


def _result(
    index: int, view: View, offered: Candidate, degraded: list[Reason], raw: RawOutput | None, started: float
) -> AngleResult:
    kept = offered.image if offered.judgement.accepted else None
    steps = tuple(dict.fromkeys(degraded))
    latency = time.perf_counter() - started
    return AngleResult(index, view.pose, kept, offered.rung, offered.judgement, latency, steps, raw)
