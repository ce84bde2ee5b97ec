"""Two settings measured on the same people, seeds and angles: compared row by row, then person by person."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from sdaug.statistics.bootstrap import mean_estimate
from sdaug.statistics.claims import Estimate, NoClaim

Row = tuple[str, Hashable, Hashable]


@dataclass(frozen=True)
class Figure:
    """One figure of one setting, a row for each (person, seed, angle); all four of one length N.

    values: float, in any one unit; NaN where it could not be measured. Raises ValueError on unequal lengths, on a row
    that is there twice and on infinite values.
    """

    people: Sequence[str]
    seeds: Sequence[Hashable]
    angles: Sequence[Hashable]
    values: Sequence[float] | np.ndarray

    def __post_init__(self) -> None:
        lengths = [len(column) for column in (self.people, self.seeds, self.angles, self.values)]
        if len(set(lengths)) != 1:
            raise ValueError(f"people, seeds, angles and values are {lengths} long; expected one length")
        seen: set[Row] = set()
        for row in zip(self.people, self.seeds, self.angles, strict=True):
            if row in seen:
                raise ValueError(f"person {row[0]}, seed {row[1]}, angle {row[2]} is there twice; expected once")
            seen.add(row)
        if np.isinf(np.asarray(self.values, np.float64)).any():
            raise ValueError("a figure holds infinite values; expected finite ones, NaN for what was not measured")

    def measured(self) -> dict[Row, float]:
        """The rows that have a number."""
        rows = zip(self.people, self.seeds, self.angles, self.values, strict=True)
        return {(who, seed, angle): float(v) for who, seed, angle, v in rows if not math.isnan(v)}


@dataclass(frozen=True)
class Pairs:
    """What two settings have in common: means of each person (n,) over the rows that both have measured.

    people: n names in order. rows: how many each setting has in them. baseline_dropped, setting_dropped: rows left out
    of either, unmeasured there or without a measured partner. A setting that fails where it is hard looks better for
    it: a report gives these counts beside the figure. people_dropped: who has no row left.
    """

    people: tuple[str, ...]
    baseline: np.ndarray
    setting: np.ndarray
    rows: int
    baseline_dropped: int
    setting_dropped: int
    people_dropped: tuple[str, ...]

    @property
    def differences(self) -> np.ndarray:
        """(n,) setting less baseline, one a person."""
        return self.setting - self.baseline


def pair(baseline: Figure, setting: Figure) -> Pairs:
    """The rows that both have measured, averaged within each person; nothing is imputed.

    Each person counts alike however many rows are left, because it is people that are drawn from the population.
    The order of rows makes no difference.

    >>> baseline = Figure(["a", "a", "b"], [0, 1, 0], ["front"] * 3, [0.5, 0.7, 0.9])
    >>> found = pair(baseline, Figure(["b", "a", "a"], [0, 1, 0], ["front"] * 3, [0.8, float("nan"), 0.5]))
    >>> found.people, found.differences.round(3).tolist(), found.rows, found.baseline_dropped, found.setting_dropped
    (('a', 'b'), [0.0, -0.1], 2, 1, 1)
    """
    before, after = baseline.measured(), setting.measured()
    of_person: dict[str, list[Row]] = {}
    for row in before:
        if row in after:
            of_person.setdefault(row[0], []).append(row)
    people = sorted(of_person)
    rows = sum(map(len, of_person.values()))
    return Pairs(
        tuple(people),
        np.array([_mean(before, of_person[who]) for who in people]),
        np.array([_mean(after, of_person[who]) for who in people]),
        rows,
        len(baseline.values) - rows,
        len(setting.values) - rows,
        tuple(sorted({*baseline.people, *setting.people} - {*people})),
    )


def mean_difference(pairs: Pairs, level: float = 0.95, seed: int = 0) -> Estimate | NoClaim:
    """How far the setting lies above the baseline, in the figure's unit, with an interval over people.

    People are resampled, not rows: rows of one person are alike, and taking them for independent makes the interval too
    narrow (Davison & Hinkley 1997, 3.8). The method is that of `mean_estimate`, of each person's mean difference.
    """
    return mean_estimate(pairs.differences, level, seed)


def _mean(values: dict[Row, float], rows: list[Row]) -> float:
    # fsum, because a plain sum depends on the order of the rows.
    return math.fsum(values[row] for row in rows) / len(rows)
