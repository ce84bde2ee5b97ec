"""Figures with where they come from: no constant of a time model is without a source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Bound = Literal["value", "low", "high"]
"""Of a predicted time: expected, shortest, longest."""


COVERAGE = 0.90
"""The share of measured times that an interval is stated to hold; what it did hold is in `sdaug bench predict`."""


@dataclass(frozen=True)
class Figure:
    """low and high: within which it is believed to lie; a figure that is known exactly has both at its value."""

    value: float
    low: float
    high: float
    source: str

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.value <= self.high:
            raise ValueError(f"{self}: expected 0 < low <= value <= high")
        if not self.source.strip():
            raise ValueError(f"{self}: a source expected")

    def at(self, bound: Bound) -> float:
        """Its value, or its lower or upper end.

        >>> Figure(2.0, 1.0, 3.0, "an example").at("high")
        3.0
        """
        return {"value": self.value, "low": self.low, "high": self.high}[bound]

    def scaled(self, factor: float) -> "Figure":
        """All three times `factor`."""
        return Figure(self.value * factor, self.low * factor, self.high * factor, self.source)


@dataclass(frozen=True)
class Interval:
    """A prediction in one unit, never a measurement; low and high are for `COVERAGE` of the times measured."""

    predicted: float
    low: float
    high: float

    def __add__(self, other: "Interval") -> "Interval":
        """Both ends added: what makes one part of a prediction wrong makes the others wrong too."""
        return Interval(self.predicted + other.predicted, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> "Interval":
        """All three times `factor`."""
        return Interval(self.predicted * factor, self.low * factor, self.high * factor)


NOTHING = Interval(0.0, 0.0, 0.0)


def read_figure(place: str, entry: Any) -> Figure:
    """A figure of a data file: a mapping with `value`, `source` and, where it is uncertain, `low` and `high`.

    Raises ValueError naming `place` for anything else.

    >>> read_figure("peak", {"value": 2, "source": "datasheet"})
    Figure(value=2.0, low=2.0, high=2.0, source='datasheet')
    """
    known = {"value", "low", "high", "source"}
    if not isinstance(entry, Mapping) or not {"value", "source"} <= set(entry) <= known:
        raise ValueError(f"{place} is {entry!r}; a mapping with value, source and maybe low, high expected")
    value = float(entry["value"])
    try:
        return Figure(value, float(entry.get("low", value)), float(entry.get("high", value)), str(entry["source"]))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
