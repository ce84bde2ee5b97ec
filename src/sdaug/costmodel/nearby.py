"""What a rate misses: timed operators of about the same size say how far off it is there.

A library picks another algorithm by an operator's shape, and a rate cannot know which: on one processor a convolution
of 1280 to 1280 channels took 12 ms on a map of 4 x 4, where a rate that fits larger maps says 55.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sdaug.costmodel.work import Op

WIDTH = 0.5
"""Of the neighbourhood, in doublings of arithmetic, of bytes read and of bytes written."""

FAR = 0.1
"""The weight of the rate itself: an operator unlike all that were timed takes what its rate says."""


@dataclass(frozen=True)
class Seen:
    """A timed operator: its arithmetic, bytes read and written, and measured time / that of its rate."""

    flops: int
    read: int
    written: int
    ratio: float

    @cached_property
    def place(self) -> tuple[float, float, float]:
        return _place(self.flops, self.read, self.written)


def correction(op: Op, seen: Sequence[Seen]) -> float:
    """What the time of `op` by its rate is to be multiplied with: the geometric mean of the ratios of timed operators
    and 1, weighted by a Gaussian of their distance (Nadaraya 1964, Watson 1964).

    >>> near = [Seen(10**9, 10**6, 10**6, 2.0)]
    >>> round(correction(Op("linear", 10**9, 2 * 10**6, 10**6), near), 1)
    1.9
    >>> correction(Op("linear", 10**6, 2 * 10**4, 10**4), near)
    1.0
    """
    place = _place(op.flops, op.bytes - op.written, op.written)
    total, weights = 0.0, FAR
    for one in seen:
        weight = math.exp(-0.5 * (math.dist(place, one.place) / WIDTH) ** 2)
        total += weight * math.log(one.ratio)
        weights += weight
    return math.exp(total / weights)


def _place(flops: int, read: int, written: int) -> tuple[float, float, float]:
    return math.log2(flops + 1), math.log2(read + 1), math.log2(written + 1)
