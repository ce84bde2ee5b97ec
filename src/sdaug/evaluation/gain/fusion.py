"""One template from a source and its views, and which way is chosen: on other subjects only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdaug.evaluation.gain.trials import Trials
from sdaug.face.rotation import rotation
from sdaug.types import Pose


@dataclass(frozen=True)
class Extra:
    """One more enrolment sample beside the source.

    vectors: per recogniser name, (D,) float32. turned_deg: how far the head was turned from the source's pose, 0..180.
    valid: mean `View.valid` over the box of the landmarks, 0..1 (1 for what is no generated view). yaw_deg: requested,
    from frontal.
    """

    vectors: dict[str, np.ndarray]
    yaw_deg: float = 0.0
    turned_deg: float = 0.0
    valid: float = 1.0
    accepted: bool = True
    reasons: tuple[str, ...] = ()


MIN_VALID = 0.5
"""A view of which the photo showed less than half the face is invention for the most part: it joins no template."""

Weighting = Literal["mean", "quality", "pose", "quality_and_pose"]


@dataclass(frozen=True)
class Fusion:
    """How views join the source in one template.

    yaws: the |yaw| of the views that are used, degrees; empty = all. farthest: of those, only the most turned one to
    each side, for the gate refuses other poses for other people. weighting: of the views among themselves. `mean`:
    equal; `quality`: the square of the share of the face that the photo showed (its validity); `pose`: sin^2 of the
    turn from the source's pose, because a view close to the source repeats it; or both. total: the views' weight
    together, where the source has 1.
    """

    yaws: tuple[float, ...] = ()
    weighting: Weighting = "mean"
    total: float = 1.0
    farthest: bool = False

    @property
    def name(self) -> str:
        """
        >>> Fusion((30, 60), "pose").name
        'pose of |yaw| 30, 60; views 1 : source 1'
        """
        which = " of the farthest" if self.farthest else " of" if self.yaws else ""
        yaws = f" |yaw| {', '.join(f'{yaw:g}' for yaw in self.yaws)}" if self.yaws else ""
        return f"{self.weighting}{which}{yaws}; views {self.total:g} : source 1"

    def used(self, extras: Sequence[Extra]) -> list[Extra]:
        """The accepted views among `extras` that this fusion takes; see MIN_VALID."""
        wanted = [e for e in extras if not self.yaws or abs(e.yaw_deg) in self.yaws]
        kept = [e for e in wanted if e.accepted and e.valid >= MIN_VALID]
        if not self.farthest:
            return kept
        sides = ([e for e in kept if e.yaw_deg > 0], [e for e in kept if e.yaw_deg < 0])
        return [max(side, key=lambda e: abs(e.yaw_deg)) for side in sides if side]

    def weights(self, extras: Sequence[Extra]) -> np.ndarray:
        """(K,) weights that sum to `total`; equal ones where all would be 0."""
        raw = np.ones(len(extras))
        if self.weighting in ("quality", "quality_and_pose"):
            raw *= [extra.valid**2 for extra in extras]
        if self.weighting in ("pose", "quality_and_pose"):
            raw *= [np.sin(np.radians(min(extra.turned_deg, 90.0))) ** 2 for extra in extras]
        if raw.sum() <= 0:
            raw = np.ones(len(extras))
        return self.total * raw / raw.sum()

    def template(self, source: np.ndarray, extras: Sequence[Extra], recogniser: str, unit: bool) -> np.ndarray:
        """The template (D,) float64; the source (D,) itself where no view is used. unit: of length 1, for cosines."""
        used = self.used(extras)
        if not used:
            return np.asarray(source, np.float64)
        weights = self.weights(used)
        total = source + sum(w * e.vectors[recogniser].astype(np.float64) for w, e in zip(weights, used, strict=True))
        return total / np.linalg.norm(total) if unit else total / (1 + weights.sum())


PLAIN = Fusion()
"""The mean of everything: for arms in which nothing is to be chosen."""

VIEW_YAWS = (15.0, 30.0, 45.0, 50.0, 55.0, 60.0, 75.0)
"""|yaw| of the views that are offered, each to both sides."""

_SPREAD, _FAR = (15.0, 30.0, 45.0, 60.0), (45.0, 50.0, 55.0, 60.0, 75.0)

_SETS = (_SPREAD, False), ((30.0, 60.0), False), ((60.0,), False), ((60.0, 75.0), False), (_FAR, True)

CANDIDATES: tuple[Fusion, ...] = tuple(
    Fusion(yaws, weighting, farthest=farthest)
    for yaws, farthest in _SETS
    for weighting in ("mean", "quality", "pose", "quality_and_pose")
)
"""What is chosen from, simplest first; a tie goes to the earlier one."""


def turned_deg(a: Pose, b: Pose) -> float:
    """The angle of the rotation from one pose to another, degrees 0..180.

    >>> round(turned_deg(Pose(10, 0), Pose(-35, 0)), 6)
    45.0
    """
    trace = float(np.trace(rotation(a).T @ rotation(b)))
    return float(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))


def choose_on_others(candidates: Sequence[Trials], subject: int, target_fmr: float) -> int:
    """The candidate with the lowest FNMR at equal FMR in the trials that `subject` has no part in; first of equals.

    Neither the subject's template nor its probes enter, not even as non-mated ones in the threshold.
    """
    rates = [trials.without(subject).fnmr_at_fmr(target_fmr) for trials in candidates]
    return int(np.argmin(rates))
