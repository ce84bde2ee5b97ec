"""Times of repeated calls, all of them kept, and ratios of two that were measured in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Times:
    """Milliseconds of each call, in the order they were made."""

    values_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values_ms:
            raise ValueError("no call was timed; expected at least one")

    @property
    def p50(self) -> float:
        return float(np.median(self.values_ms))

    @property
    def p90(self) -> float:
        return float(np.percentile(self.values_ms, 90))

    def facts(self) -> dict[str, Any]:
        """JSON-able."""
        return {"p50": self.p50, "p90": self.p90, "n": len(self.values_ms), "values": list(self.values_ms)}


def quiet_clock(device: str, threads: int) -> Callable[[], float]:
    """The clock that others disturb least, in seconds from some point.

    On a processor with one thread it is that thread's own processor time, in which no waiting for others counts;
    else the wall's. What shares caches, memory and a core's units with us disturbs both.
    """
    return time.thread_time if device == "cpu" and threads == 1 else time.perf_counter


def settler(device: Any) -> Callable[[], None]:
    """What waits until `device`, a torch.device or its name, is done."""
    if not str(device).startswith("cuda"):
        return lambda: None
    import torch

    return lambda: torch.cuda.synchronize(device)


def milliseconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


@dataclass(frozen=True)
class Around:
    """An interval around a median: `coverage` is the chance that it holds the true one."""

    low: float
    high: float
    coverage: float


def around_median(values: Sequence[float]) -> Around:
    """Between two of the sorted values, the innermost pair that covers 95 % or more; with fewer than six values no pair
    does, and it is the least and the most, whose coverage is 1 - 2^(1-n).

    By rank, whatever the times are distributed like: the true median is below each of n values with chance 1/2. A
    bootstrap of the median holds too little: of seven values, 86 % where 95 are said. Raises ValueError without values.

    >>> around_median([5.0, 1.0, 2.0])
    Around(low=1.0, high=5.0, coverage=0.75)
    >>> around_median([float(value) for value in range(6)])
    Around(low=0.0, high=5.0, coverage=0.96875)
    """
    if not len(values):
        raise ValueError("no value; expected at least one")
    n, rising = len(values), sorted(values)
    outside, beyond = 0, 1  # chance, in 2^-n, that the true median lies below the value of rank `outside` + 1
    while 40 * (more := beyond + comb(n, outside + 1)) <= 2**n:  # whole numbers: 2^n may be no float any more
        outside, beyond = outside + 1, more
    return Around(rising[outside], rising[n - 1 - outside], 1 - 2 * beyond / 2**n)


@dataclass(frozen=True)
class Ratio:
    """A median ratio and the interval of it, as `around_median`; `n` pairs."""

    value: float
    low: float
    high: float
    n: int
    coverage: float


def paired_ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Median of above[i] / below[i], measured one right after the other.

    With one pair there is no spread to see: low and high are the value. Raises ValueError on lengths that differ.

    >>> paired_ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    Ratio(value=2.0, low=2.0, high=2.0, n=3, coverage=0.75)
    """
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    around = around_median(ratios)
    return Ratio(float(np.median(ratios)), around.low, around.high, len(ratios), around.coverage)
