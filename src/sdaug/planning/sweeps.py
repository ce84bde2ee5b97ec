"""What a sweep is predicted to take before it runs: diffusion's time and memory of every setting, or why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sdaug.cells import Cell, named
from sdaug.costmodel.figures import NOTHING, Interval
from sdaug.costmodel.predict import Machine, interval_json, predict
from sdaug.diffusion.budget import counted
from sdaug.levers import LeverSkipped
from sdaug.measure.environment import device_class
from sdaug.planning.machine import machine_named
from sdaug.planning.plan import Planned
from sdaug.planning.settings import Asked, as_run, calls_of, check_modelled
from sdaug.planning.targets import process_total

LEFT_OUT = "starting kernels, loading, reading faces, warping and judging come on top"


@dataclass(frozen=True)
class Expected:
    """Of one setting: how many cells it has, the seconds that diffusion takes in one of them, all its calls together,
    and the GB of 10^9 bytes that the process takes at its peak. Both are None where `why` says why."""

    name: str
    cells: int
    cell_s: Interval | None = None
    peak_gb: Interval | None = None
    why: str = ""

    @property
    def seconds(self) -> Interval | None:
        """Of all its cells, one after the other."""
        return None if self.cell_s is None else self.cell_s.times(self.cells)


@dataclass(frozen=True)
class Forecast:
    """Of a sweep, setting by setting."""

    settings: tuple[Expected, ...]

    @property
    def known(self) -> tuple[Expected, ...]:
        """The settings that can be predicted."""
        return tuple(one for one in self.settings if one.cell_s is not None)

    @property
    def seconds(self) -> Interval | None:
        """Of everything that can be predicted, one cell after the other; None where nothing can."""
        return sum((one.seconds for one in self.known if one.seconds), NOTHING) if self.known else None

    @property
    def peak_gb(self) -> Interval | None:
        """Of the largest setting that can be predicted."""
        peaks = [one.peak_gb for one in self.known if one.peak_gb]
        return max(peaks, key=lambda peak: peak.predicted) if peaks else None

    def report(self) -> dict[str, Any]:
        """JSON-able."""

        def interval(found: Interval | None) -> dict[str, Any] | None:
            return None if found is None else interval_json(found)

        return {
            "kind": f"prediction, not a measurement: what diffusion takes; {LEFT_OUT}",
            "seconds": interval(self.seconds),
            "peak_gb": interval(self.peak_gb),
            "cells_not_predicted": sum(one.cells for one in self.settings if one.cell_s is None),
            "settings": [
                {"name": one.name, "cells": one.cells, "cell_s": interval(one.cell_s),
                 "peak_gb": interval(one.peak_gb), "not_predicted": one.why or None}
                for one in self.settings
            ],
        }  # fmt: skip

    def text(self, together: bool = True) -> str:
        """A line a setting, then all of them together, unless they are examples only."""
        lines = [f"predicted, not measured: what diffusion takes; {LEFT_OUT}"]
        for one in self.settings:
            head = f"  {one.name}: {_count(one.cells)}"
            if one.cell_s is None or one.peak_gb is None:
                lines.append(f"{head}, not predicted: {one.why}")
            else:
                lines.append(f"{head}, {_spread(one.cell_s)} s each, {_spread(one.peak_gb)} GB")
        unknown = sum(one.cells for one in self.settings if one.cell_s is None)
        if together and self.seconds is not None and self.peak_gb is not None:
            total = f"together {_spread(self.seconds)} s one after the other, at most {_spread(self.peak_gb)} GB"
            lines.append(total + (f"; {_count(unknown)} not predicted" if unknown else ""))
        return "\n".join(lines)


def forecast(
    cells: Sequence[Cell],
    repeats: int,
    device: str | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Forecast:
    """What these cells are predicted to take. repeats: timed calls after the first. device: whose predictions, as
    `sdaug plan` names it; None is this computer. Raises ValueError for a device that there is none of."""
    if device is not None:
        machine_named(device)
    of: dict[str, list[Cell]] = {}
    for cell in cells:
        of.setdefault(cell.setting_key, []).append(cell)
    found = []
    for number, (first, *rest) in enumerate(of.values()):
        name = named(first.varied)
        progress(name, number, len(of))
        try:
            check_modelled(first.settings)
            seconds, peak = _expected(first, _machine(first.settings.model.device, device))
            found.append(Expected(name, 1 + len(rest), seconds.times(1 + repeats), peak))
        except (LeverSkipped, ValueError) as error:
            found.append(Expected(name, 1 + len(rest), why=str(error)))
    progress("done", len(of), len(of))
    return Forecast(tuple(found))


def _expected(cell: Cell, machine: Machine) -> tuple[Interval, Interval]:
    """Seconds of one call and the peak in GB. Raises ValueError where a part of it is not modelled."""
    settings = as_run(cell.settings, machine)
    calls = calls_of(settings, machine, settings.generation.num_angles)
    if calls.not_modelled:
        raise ValueError(f"{', '.join(calls.not_modelled)}: not modelled")
    call = predict(calls.five, machine, calls.runtime, int8=calls.int8)
    tensors = counted(settings, settings.levers, calls.batch).bytes / 1e9
    planned = Planned(Asked(named(cell.varied), settings), allocated_gb=tensors)
    return call.seconds, process_total(planned, machine)


def _machine(wanted: str, device: str | None) -> Machine:
    """The machine to predict for: the named one, or the processor of this one. A GPU here has no name among ours."""
    if device is not None:
        return machine_named(device)
    here = device_class(wanted)
    if wanted.split(":")[0] == "cuda" and here != "no GPU":
        raise ValueError(f"which of the known devices is {here!r}? --device names it")
    return machine_named("cpu")


def _count(cells: int) -> str:
    return f"{cells} cell" if cells == 1 else f"{cells} cells"


def _spread(interval: Interval) -> str:
    return f"{interval.predicted:.3g} ({interval.low:.3g}-{interval.high:.3g})"
