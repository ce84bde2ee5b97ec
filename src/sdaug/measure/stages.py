"""Seconds of each stage of a call: `stage` marks one where it happens, `stages` collects those of a block."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class _Collected:
    """seconds: of every time each stage ran, in order. inner: seconds spent in stages within those that run now."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    inner: list[float] = field(default_factory=list)


_COLLECTED: ContextVar[_Collected | None] = ContextVar("sdaug-stages", default=None)


@contextmanager
def stages() -> Iterator[dict[str, list[float]]]:
    """Seconds of every `stage` within the block and thread, by name; a block within takes its own.

    The clock waits for the GPU, where one is in use, at both ends of a stage.

    >>> with stages() as seconds:
    ...     with stage("warp"):
    ...         pass
    >>> list(seconds), len(seconds["warp"])
    (['warp'], 1)
    """
    collected = _Collected()
    token = _COLLECTED.set(collected)
    try:
        yield collected.seconds
    finally:
        _COLLECTED.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Counts the block's seconds to `name`, less those of stages within it. Outside of `stages` it does nothing."""
    collected = _COLLECTED.get()
    if collected is None:
        yield
        return
    _settle()
    collected.inner.append(0.0)
    started = time.perf_counter()
    try:
        yield
    finally:
        _settle()
        spent = time.perf_counter() - started
        own = spent - collected.inner.pop()
        if collected.inner:
            collected.inner[-1] += spent
        collected.seconds.setdefault(name, []).append(own)


def stage_report(seconds: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """JSON-able: how often each stage ran, its median and its sum in seconds, and all values.

    >>> stage_report({"warp": [0.25, 0.5, 0.25]})
    {'warp': {'n': 3, 'p50_s': 0.25, 'total_s': 1.0, 'values_s': [0.25, 0.5, 0.25]}}
    """
    return {
        name: {"n": len(values), "p50_s": float(np.median(values)), "total_s": sum(values), "values_s": values}
        for name, values in seconds.items()
    }


def _settle() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_initialized():
        torch.cuda.synchronize()
