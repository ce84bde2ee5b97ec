"""Times of calls run in turn: the clock waits for the GPU, all values are kept, and none may beat physics."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdaug.measure.clock import around_median


class ImpossibleTime(RuntimeError):
    """A measured time below what the device's peak allows: a fault of the measurement, never a record."""


@dataclass(frozen=True)
class Spent:
    """Seconds of every call, in order. first: of the one before, which warms up and is in no figure."""

    first: float
    values: tuple[float, ...]

    @property
    def shortest(self) -> float:
        """What it takes when nothing else disturbs it."""
        return min(self.values)

    @property
    def noise(self) -> float:
        """|1 - ratio| of the shortest of every other call to the shortest of the rest: what the same thing measured
        twice differs by. NaN with fewer than two calls."""
        if len(self.values) < 2:
            return float("nan")
        return abs(min(self.values[::2]) / min(self.values[1::2]) - 1)

    @property
    def p50(self) -> float:
        return float(np.median(self.values))

    def report(self) -> dict[str, Any]:
        """JSON-able; low and high are around the median, as `around_median`."""
        around = around_median(self.values)
        p90, p99 = np.percentile(self.values, [90, 99])
        return {
            "n": len(self.values), "first": self.first, "shortest": self.shortest, "p50": self.p50, "p90": float(p90),
            "p99": float(p99), "p50_low": around.low, "p50_high": around.high, "p50_coverage": around.coverage,
            "values": list(self.values),
        }  # fmt: skip


def run_in_turn(
    calls: dict[str, Callable[[], object]],
    rounds: int,
    settle: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Spent]:
    """Each call once to warm up, then all of them `rounds` times, one after the other, so that what disturbs one round
    disturbs all of them. settle: waits until the device is done.

    Raises ValueError for no round.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds; 1 or more expected")
    total = len(calls) * (rounds + 1)

    def timed(call: Callable[[], object]) -> float:
        settle()
        started = clock()
        call()
        settle()
        return clock() - started

    spent: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for place, (name, call) in enumerate(calls.items()):
            progress(name, number * len(calls) + place, total)
            spent[name].append(timed(call))
    return {name: Spent(values[0], tuple(values[1:])) for name, values in spent.items()}


def check_floor(what: str, seconds: Sequence[float], floor_s: float | None) -> None:
    """Raises `ImpossibleTime` where a time is shorter than the arithmetic takes at the device's peak; floor_s is None
    where that is not known.

    >>> check_floor("a step", [0.2, 0.3], 0.1)
    """
    if floor_s is not None and min(seconds) < floor_s:
        raise ImpossibleTime(
            f"{what}: {min(seconds):.4g} s measured, and its arithmetic takes {floor_s:.4g} s at the device's peak; "
            "a clock that does not wait for the device, or a device that is not the one that was named"
        )
