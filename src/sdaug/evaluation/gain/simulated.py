"""Simulated people whose answers are known: what the gain evaluation is tested with, and shown with where there are no
photos. Nobody's face, no recogniser; nothing here is a result about the product."""

from dataclasses import dataclass

import numpy as np

from sdaug.evaluation.gain.faceset import YAW_BINS
from sdaug.evaluation.gain.fusion import VIEW_YAWS, Extra
from sdaug.evaluation.gain.material import Material, Probe, Recogniser


@dataclass(frozen=True)
class World:
    """Vectors of a person at a pose: identity, plus sin(yaw) `turning` times a profile that differs between people,
    plus `noise` of each photo, normalised.

    likeness: how much of the profile a generated view shows, 0 (nothing: it is a copy of the source) to 1 (all, with
    the source's noise).
    """

    subjects: int = 20
    probes: int = 20
    dim: int = 64
    turning: float = 2.0
    noise: float = 1.0
    likeness: float = 0.15
    seed: int = 0


RECOGNISER = Recogniser("simulated", lambda a, b: float(np.dot(a, b)), unit=True)


def simulate(world: World) -> Material:
    """All arms of simulated people. Sources are frontal, probes spread over yaw 0 to 90 on one side."""
    rng = np.random.default_rng(world.seed)
    shape = world.subjects, world.dim
    identity, profile = (rng.normal(size=shape) / np.sqrt(world.dim) for _ in range(2))

    def profiled(subject: int, yaw: float) -> np.ndarray:
        return np.sin(np.radians(abs(yaw))) * world.turning * profile[subject]

    def seen(subject: int, yaw: float) -> np.ndarray:
        noise = world.noise * rng.normal(size=world.dim) / np.sqrt(world.dim)
        return _unit(identity[subject] + profiled(subject, yaw) + noise)

    people = range(world.subjects)
    fronts = [identity[s] + world.noise * rng.normal(size=world.dim) / np.sqrt(world.dim) for s in people]
    sources = [{"simulated": _unit(front)} for front in fronts]
    yaws = np.linspace(0, 89, world.probes)
    probes = [[Probe({"simulated": seen(s, yaw)}, _bin(yaw)) for yaw in yaws] for s in people]

    def copies(subject: int, number: int) -> list[Extra]:
        return [Extra(dict(sources[subject])) for _ in range(number)]

    def turned(subject: int) -> list[Extra]:
        signed = [sign * yaw for yaw in VIEW_YAWS for sign in (1, -1)]
        return [
            Extra({"simulated": _unit(fronts[subject] + world.likeness * profiled(subject, yaw))}, yaw, abs(yaw))
            for yaw in signed
        ]

    extras = {
        "flip": [copies(s, 1) for s in people],
        "jitter": [copies(s, 4) for s in people],
        "warp": [turned(s) for s in people],
        "diffusion": "not asked for",
        "real_photos": [[Extra({"simulated": seen(s, yaw)}) for yaw in (45.0, 85.0)] for s in people],
    }
    names = tuple(f"s{s:02d}" for s in people)
    return Material((RECOGNISER,), names, sources, extras, probes, {}, 2 * len(VIEW_YAWS))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _bin(yaw: float) -> str:
    return next(name for name, (low, high) in YAW_BINS.items() if low <= yaw < high)
