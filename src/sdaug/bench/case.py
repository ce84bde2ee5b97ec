"""Something that is timed and was predicted."""

from collections.abc import Callable
from dataclasses import dataclass

from sdaug.costmodel.figures import Interval


@dataclass(frozen=True, eq=False)
class Case:
    """kind: "part" of a network, or "whole" for a call of the pipeline. floor_s: what nothing can beat."""

    name: str
    kind: str
    run: Callable[[], object]
    predicted: Interval
    floor_s: float
