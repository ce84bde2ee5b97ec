"""Times of repeated calls, all of them kept, and ratios of two that were measured in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
class Ratio:
    """A median ratio and the 95 % interval of it; `n` pairs."""

    value: float
    low: float
    high: float
    n: int


def paired_ratio(above: Sequence[float], below: Sequence[float], resamples: int = 2000) -> Ratio:
    """Median of above[i] / below[i], measured one right after the other, with a bootstrap over the pairs (seeded).

    With one pair there is no spread to see: low and high are the value. Raises ValueError on lengths that differ.

    >>> paired_ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    Ratio(value=2.0, low=2.0, high=2.0, n=3)
    """
    ratios = np.array([a / b for a, b in zip(above, below, strict=True)])
    chosen = np.random.default_rng(0).integers(0, ratios.size, (resamples, ratios.size))
    low, high = np.percentile(np.median(ratios[chosen], axis=1), [2.5, 97.5])
    return Ratio(float(np.median(ratios)), float(low), float(high), int(ratios.size))
