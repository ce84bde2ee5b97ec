"""How often the intervals of `statistics/` hold the truth: simulated studies of people whose true figures are known."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sdaug.statistics.bootstrap import mean_estimate
from sdaug.statistics.claims import MIN_PEOPLE, Estimate, NoClaim
from sdaug.statistics.kept import share_kept
from sdaug.statistics.paired import Figure, Pairs, mean_difference, pair

STUDIES = 1_000
STATED = (0.93, 0.97)
"""What a 95 % interval may cover over that many studies. The share of 1 000 is itself off by 0.7 % (one sd)."""

PEOPLE = (MIN_PEOPLE, 20, 40, 80)

Study = Callable[[np.random.Generator, int], Estimate | NoClaim]
"""One study with so many people, drawn anew: its interval."""


@dataclass(frozen=True)
class Case:
    """name: the figure and how people are spread. truth: the figure of all people. judged: False for people of whom
    nothing is stated, since their intervals are known to cover less or more."""

    name: str
    study: Study
    truth: float
    judged: bool = True


def interval_coverage(
    studies: int = STUDIES, people: tuple[int, ...] = PEOPLE, stated: tuple[float, float] = STATED
) -> dict[str, Any]:
    """Every case of `cases` at every number of people; and the percentile interval, which must not pass.

    A control that passed would mean that this proof shows nothing. Cases that are not judged are listed apart, with
    what was found.
    """
    judged, others = {}, {}
    for case in cases():
        for n in people:
            (judged if case.judged else others)[f"{case.name}, {n} people"] = covered(case, n, studies)
    outside = {name: found for name, found in judged.items() if not stated[0] <= found["covered"] <= stated[1]}
    control = covered(percentile_control(), min(people), studies)
    return {
        "passed": not outside and not stated[0] <= control["covered"] <= stated[1],
        "studies": studies,
        "stated": list(stated),
        "cases": judged,
        "outside": outside,
        "not_judged": others,
        "control_percentile": control,
    }


def covered(case: Case, people: int, studies: int = STUDIES) -> dict[str, float]:
    """covered: the share of studies with an interval whose interval held the truth; given: how many had one."""
    rng = np.random.default_rng([people, *case.name.encode()])
    found = [case.study(rng, people) for _ in range(studies)]
    kept = [one for one in found if isinstance(one, Estimate)]
    held = float(np.mean([one.low <= case.truth <= one.high for one in kept])) if kept else math.nan
    return {"covered": round(held, 4), "given": round(len(kept) / studies, 4)}


# -- people


def _harmed(rng: np.random.Generator, n: int) -> np.ndarray:
    """Most people lose nothing, one in five loses much."""
    return np.where(rng.random(n) < 0.2, rng.normal(-1, 0.3, n), rng.normal(0, 0.1, n))


SPREADS: Mapping[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float, bool]] = {
    "normal": (lambda rng, n: rng.normal(0.3, 2.0, n), 0.3, True),
    "exponential": (lambda rng, n: rng.exponential(1.0, n), 1.0, True),
    "difference of two shares of ten": (
        lambda rng, n: rng.binomial(10, 0.9, n) / 10 - rng.binomial(10, 0.8, n) / 10,
        0.1,
        True,
    ),
    "log-normal, sigma 1": (lambda rng, n: rng.lognormal(0, 1, n), math.exp(0.5), False),
    "Student's t, 3 degrees": (lambda rng, n: rng.standard_t(3, n), 0.0, False),
    "near 0, but for one in five": (_harmed, -0.2, False),
    "uniform": (lambda rng, n: rng.random(n), 0.5, False),
}
"""How people's figures lie, their true mean, and whether that is judged. Tails heavier than an exponential's are
covered too seldom; a fifth of people far off, or figures without any tail, with some numbers of people too often."""


def cases() -> Iterator[Case]:
    """Means, paired differences over several rows a person, and shares kept."""
    for name, (draw, truth, judged) in SPREADS.items():
        yield Case(f"mean, {name}", partial(_mean, draw), truth, judged)
    for effect in (0.0, -0.05):
        yield Case(f"paired difference of {effect}", partial(_difference, effect), effect)
    yield Case("share kept of a similarity", _kept_similarity, 0.98)
    yield Case("share kept of a time", _kept_time, 1 / 1.1)


def percentile_control() -> Case:
    """The plain percentile bootstrap of a mean: too narrow with few people."""
    return Case("percentile interval of a mean, exponential", _percentile, 1.0)


# -- studies


def _mean(draw: Callable[[np.random.Generator, int], np.ndarray], rng: np.random.Generator, n: int) -> Any:
    return mean_estimate(draw(rng, n))


def _difference(effect: float, rng: np.random.Generator, n: int) -> Any:
    """2 to 9 rows a person: how a setting acts is mostly the person's own, and skewed between people."""
    rows = rng.integers(2, 10, n)
    who = np.repeat([f"{i:03d}" for i in range(n)], rows).tolist()
    angles = np.concatenate([np.arange(count) for count in rows]).tolist()
    level = rng.normal(0.7, 0.2, n).repeat(rows) + rng.normal(0, 0.1, rows.sum())
    own = effect + 0.1 * (1 - rng.exponential(1.0, n))
    change = own.repeat(rows) + rng.normal(0, 0.05, rows.sum())
    seeds = [0] * int(rows.sum())
    return mean_difference(pair(Figure(who, seeds, angles, level), Figure(who, seeds, angles, level + change)))


def _kept_similarity(rng: np.random.Generator, n: int) -> Any:
    """Bounded figures with a tail towards 0, of which each person keeps something else."""
    baseline = rng.beta(8, 3, n)
    setting = 0.98 * baseline * (1 + 0.1 * (rng.beta(2, 5, n) - 2 / 7))
    return share_kept(_pairs(baseline, setting), "higher").share


def _kept_time(rng: np.random.Generator, n: int) -> Any:
    """Log-normal seconds, a tenth slower."""
    baseline = rng.lognormal(0, 0.5, n)
    return share_kept(_pairs(baseline, 1.1 * baseline * rng.lognormal(-0.005, 0.1, n)), "lower").share


def _percentile(rng: np.random.Generator, n: int) -> Any:
    values = rng.exponential(1.0, n)
    means = rng.multinomial(n, np.full(n, 1 / n), size=999) @ values / n
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high), n)


def _pairs(baseline: np.ndarray, setting: np.ndarray) -> Pairs:
    n = len(baseline)
    return Pairs(tuple(f"{i:03d}" for i in range(n)), baseline, setting, n, 0, 0, ())
