"""Each arm's trials: one template a subject, its fusion chosen on the other subjects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sdaug.evaluation.gain.arms import ungated, wrong_person
from sdaug.evaluation.gain.fusion import CANDIDATES, PLAIN, Extra, Fusion, choose_on_others
from sdaug.evaluation.gain.material import Material, Recogniser
from sdaug.evaluation.gain.trials import Trials

TARGET_FMR = 1e-2
"""The operating point at which fusions are chosen and arms are compared."""


@dataclass(frozen=True)
class ArmTrials:
    """An arm's trials, the fusion each subject got, and each subject's samples beside the source as they were offered
    (refused ones included)."""

    trials: Trials
    fusions: tuple[Fusion, ...]
    extras: Sequence[Sequence[Extra]]


def fuse(
    material: Material, recogniser: Recogniser, fusions: Sequence[Fusion], extras: Sequence[Sequence[Extra]]
) -> Trials:
    """Trials of the fused templates, one fusion a subject."""
    name = recogniser.name
    templates = [
        fusion.template(source[name], own, name, recogniser.unit)
        for fusion, source, own in zip(fusions, material.sources, extras, strict=True)
    ]
    return material.trials(templates, recogniser)


def plain(material: Material, recogniser: Recogniser, extras: Sequence[Sequence[Extra]]) -> ArmTrials:
    """The mean of source and all samples with equal weights: nothing to choose."""
    means = tuple(Fusion(total=float(max(len(PLAIN.used(own)), 1))) for own in extras)
    return ArmTrials(fuse(material, recogniser, means, extras), means, extras)


def chosen_on_others(material: Material, recogniser: Recogniser, extras: Sequence[Sequence[Extra]]) -> ArmTrials:
    """Each subject's fusion is the one among CANDIDATES that serves the others best; see `choose_on_others`."""
    count = len(material.subjects)
    every = [fuse(material, recogniser, [candidate] * count, extras) for candidate in CANDIDATES]
    picks = [choose_on_others(every, subject, TARGET_FMR) for subject in range(count)]
    scores = np.array([every[pick].scores[subject] for subject, pick in enumerate(picks)])
    return ArmTrials(Trials(scores, material.owner), tuple(CANDIDATES[pick] for pick in picks), extras)


def maximum(material: Material, recogniser: Recogniser, arm: ArmTrials) -> ArmTrials:
    """The best score over the source and each used view as templates of their own, for comparison."""
    name = recogniser.name
    scores = [
        np.max([material.row(v, recogniser) for v in (source[name], *(e.vectors[name] for e in fusion.used(own)))], 0)
        for source, fusion, own in zip(material.sources, arm.fusions, arm.extras, strict=True)
    ]
    return ArmTrials(Trials(np.array(scores), material.owner), arm.fusions, arm.extras)


def all_arms(material: Material, recogniser: Recogniser) -> dict[str, ArmTrials | str]:
    """Every arm by name, or why there is none. The first is `single`, the last of the contract `real_photos`."""
    nothing: list[list[Extra]] = [[] for _ in material.subjects]
    found: dict[str, ArmTrials | str] = {"single": plain(material, recogniser, nothing)}
    for name in ("flip", "jitter"):
        found[name] = _if_there(material, name, lambda extras: plain(material, recogniser, extras))
    for name in ("warp", "diffusion"):
        found[name] = _if_there(material, name, lambda extras: chosen_on_others(material, recogniser, extras))
    found["wrong_person"] = found["warp"]
    warp = found["warp"]
    if isinstance(warp, ArmTrials):
        found["wrong_person"] = _with_strangers(material, recogniser, warp)
    found["real_photos"] = _if_there(material, "real_photos", lambda extras: plain(material, recogniser, extras))
    if isinstance(warp, ArmTrials):
        found["warp_max"] = maximum(material, recogniser, warp)
        found["warp_ungated"] = chosen_on_others(material, recogniser, ungated(warp.extras))
    return found


def _with_strangers(material: Material, recogniser: Recogniser, warp: ArmTrials) -> ArmTrials | str:
    extras = wrong_person(warp.extras)
    if not any(extras):
        return "no view of anyone was accepted, so there is nothing of another person to enrol"
    return ArmTrials(fuse(material, recogniser, warp.fusions, extras), warp.fusions, extras)


def _if_there(material: Material, name: str, make: Callable[[Sequence[Sequence[Extra]]], ArmTrials]) -> ArmTrials | str:
    extras = material.extras.get(name, "not asked for")
    return extras if isinstance(extras, str) else make(extras)
