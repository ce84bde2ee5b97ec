"""Something that is timed and was predicted."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sdaug.costmodel.figures import Interval


@dataclass(frozen=True, eq=False)
class Case:
    """kind: "part" of a network, or "whole" for a call of the pipeline. floor_s: what nothing can beat. counted_bytes:
    of PyTorch's tensors at the peak of a whole call, None for a part. load_s: seconds that loading took before. sha256:
    of the weights that were read, by network; of a part, whose weights are drawn, none."""

    name: str
    kind: str
    run: Callable[[], object]
    predicted: Interval
    floor_s: float
    counted_bytes: int | None = None
    load_s: float | None = None
    sha256: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """What was asked for and could not be run, and why."""

    name: str
    why: str
