"""Work: which kernels run, how often, and what each one computes and moves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["conv3x3", "linear", "attention", "norm", "elementwise"]
"""conv3x3: kernels larger than one pixel. linear: matrix products and 1x1 convolutions. attention: fused attention and
batched matrix products. norm: group, layer and batch norms. elementwise: everything else that touches memory."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Op:
    """One kernel launch. flops: one multiplication and addition are two. bytes: read and written, caches ignored.

    written: those of `bytes` that are written. Kernels that differ in nothing else count as one, since hardly any do.
    """

    kind: Kind
    flops: int
    bytes: int
    written: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Work:
    """Kernel launches. ops: (op, how often), each op once: a time model takes each at its own bound."""

    ops: tuple[tuple[Op, int], ...] = ()

    @property
    def flops(self) -> int:
        """Of matrix products, convolutions and attention; the others' are not counted, their bytes are."""
        return sum(op.flops * n for op, n in self.ops)

    @property
    def flops_by_kind(self) -> dict[Kind, int]:
        return {kind: sum(op.flops * n for op, n in self.ops if op.kind == kind) for kind in KINDS}

    @property
    def bytes_eager(self) -> int:
        """Moved when every kernel reads its inputs from memory and writes its outputs there, as PyTorch runs them."""
        return sum(op.bytes * n for op, n in self.ops)

    @property
    def bytes_by_kind(self) -> dict[Kind, int]:
        return {kind: sum(op.bytes * n for op, n in self.ops if op.kind == kind) for kind in KINDS}

    @property
    def bytes_fused(self) -> int:
        """Moved when every elementwise kernel is fused into a neighbour, as a compiler does at best."""
        return self.bytes_eager - self.bytes_by_kind["elementwise"]

    @property
    def launches(self) -> int:
        return sum(n for _, n in self.ops)


def total(parts: Mapping[Work, int]) -> Work:
    """All of several pieces of work, each done that many times.

    >>> step = Work(((Op("linear", 8, 12), 3),))
    >>> total({step: 2}).flops, total({step: 2}).launches, total({}).flops
    (48, 6, 0)
    """
    counts: dict[Op, int] = {}
    for work, times in parts.items():
        for op, n in work.ops:
            counts[op] = counts.get(op, 0) + n * times
    return Work(tuple(counts.items()))
