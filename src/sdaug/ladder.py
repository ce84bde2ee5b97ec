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


Diffuse = Callable[[View, int, float], np.ndarray]
"""(view, angle index, share of the strength) -> image (S, S, 3) uint8 RGB; raises GenerationFailed."""


@dataclass(frozen=True)
class Candidate:
    """An image that a rung offers, and what the gate says of it."""

    rung: Rung
    image: np.ndarray
    judgement: Judgement


def raw_output(gate: Gate, view: View, image: np.ndarray, judgement: Judgement) -> RawOutput:
    """A diffusion image as it came, compared at the landmarks it was asked to have."""
    face = face_from_landmarks(view.landmarks, 0.0)
    return RawOutput(image, gate.similarity(image, face), judgement)


def climb_down(
    index: int,
    view: View,
    gate: Gate,
    diffuse: Diffuse | None,
    unavailable: tuple[Reason, ...],
    started: float,
    strict: bool = False,
) -> AngleResult:
    """The best accepted image of one angle.

    diffuse: None where diffusion is not asked for or not to be had, `unavailable` says why. started:
    time.perf_counter() at the beginning of the angle's work. strict: no rung but the one asked for; GenerationFailed is
    raised, and what the gate refuses stays refused.
    """
    degraded = list(unavailable)
    raw: RawOutput | None = None
    last: Judgement | None = None
    rungs = (("diffusion", 1.0), ("diffusion_reduced", REDUCED))[: 1 if strict else 2]
    for rung, share in rungs if diffuse else ():
        assert diffuse is not None
        try:
            image = diffuse(view, index, share)
        except GenerationFailed as failure:
            if strict:
                raise
            log.info("angle %d: diffusion failed: %s", index, failure)
            degraded.append(failure.reason)
            break
        last = gate.judge(image, view.pose)
        if raw is None:
            raw = raw_output(gate, view, image, last)
        if last.accepted:
            return _result(index, view, Candidate(rung, image, last), degraded, raw, started)  # type: ignore[arg-type]
        if strict:
            return _result(index, view, Candidate("refused", image, last), degraded, raw, started)
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
