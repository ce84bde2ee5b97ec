"""Where a call's time goes: every forward pass of every network, by stage."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sdaug.measure.clock import settler


@dataclass(frozen=True)
class Forward:
    """One pass. images: how many a network saw at once."""

    stage: str
    seconds: float
    images: int


@dataclass
class Forwards:
    """The passes of one call, in order; `seconds` of the whole call. kept: what each pass of one stage gave."""

    passes: list[Forward] = field(default_factory=list)
    seconds: float = 0.0
    kept: list[Any] = field(default_factory=list)

    def of(self, stage: str) -> list[float]:
        """Seconds of each pass of `stage`."""
        return [forward.seconds for forward in self.passes if forward.stage == stage]

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage; `outside` is what no network ran in."""
        names = dict.fromkeys(forward.stage for forward in self.passes)
        inside = {name: sum(self.of(name)) for name in names}
        return inside | {"outside": self.seconds - sum(inside.values())}


class _Timed:
    """Something callable that notes how long it takes, and else is what it wraps."""

    def __init__(self, inner: Any, note: Callable[[tuple[Any, ...], Any, float], None], settle: Callable[[], None]):
        self.__dict__.update(inner=inner, note=note, settle=settle)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.settle()
        started = time.perf_counter()
        result = self.inner(*args, **kwargs)
        self.settle()
        self.note(args, result, time.perf_counter() - started)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@contextmanager
def forwards(targets: dict[str, tuple[Any, str]], device: Any, keep: str | None = None) -> Iterator[Forwards]:
    """Times each target while the block runs. targets: stage -> (object, attribute that is called). keep: the stage
    whose answers are kept.

    On a GPU every pass is waited for, which costs a little of what queueing ahead gains.
    """
    settle = settler(device)
    seen = Forwards()
    before = {stage: (owner, name, getattr(owner, name)) for stage, (owner, name) in targets.items()}
    own = {stage: name in vars(owner) for stage, (owner, name, _) in before.items()}
    for stage, (owner, name, inner) in before.items():

        def note(args: tuple[Any, ...], result: Any, seconds: float, stage: str = stage) -> None:
            seen.passes.append(Forward(stage, seconds, len(args[0])))
            if stage == keep:
                seen.kept.append(result)

        _set(owner, name, _Timed(inner, note, settle))
    started = time.perf_counter()
    try:
        yield seen
    finally:
        settle()
        seen.seconds = time.perf_counter() - started
        for stage, (owner, name, inner) in before.items():
            if own[stage]:
                _set(owner, name, inner)
            else:
                vars(owner).pop(name)


def _set(owner: Any, name: str, value: Any) -> None:
    """Past torch's own `__setattr__`, which takes modules only where a module was."""
    vars(owner)[name] = value
