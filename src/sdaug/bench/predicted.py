"""`sdaug bench predict`: predicted beside measured, on parts and whole calls that no figure was fitted to."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sdaug.bench.case import Case, LeftOut
from sdaug.bench.floors import device_here
from sdaug.bench.parts import part_cases
from sdaug.bench.timing import ImpossibleTime, Spent, check_floor, run_in_turn
from sdaug.bench.wholes import left_out, whole_cases
from sdaug.costmodel.device import Device
from sdaug.costmodel.figures import COVERAGE, Interval
from sdaug.costmodel.parts import Dtype
from sdaug.costmodel.predict import Machine
from sdaug.costmodel.processor import Processor
from sdaug.diffusion.libraries import import_libraries
from sdaug.measure.board import watch_board
from sdaug.measure.clock import quiet_clock, settler
from sdaug.measure.environment import provenance
from sdaug.measure.memory import watch
from sdaug.planning.settings import Asked

BOUNDS = {
    "median_error": 0.10,
    "p95_error": 0.25,
    "rank_correlation": 0.95,
    "spread": 2.5,
    "memory_error": 0.03,
    "coverage": COVERAGE,
}
"""What is aimed at: errors are |predicted / measured - 1|, the measured one the shortest of several."""


@dataclass(frozen=True)
class Row:
    """A case beside its measured time. peaks: bytes by meter, of `measure.memory.METERS`, while its group ran."""

    name: str
    kind: str
    predicted: Interval
    floor_s: float
    spent: Spent
    counted_bytes: int | None = None
    load_s: float | None = None
    peaks: dict[str, int | None] | None = None
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """predicted / measured - 1."""
        return self.predicted.predicted / self.spent.shortest - 1

    @property
    def inside(self) -> bool:
        """Whether the measured time is within the interval."""
        return self.predicted.low <= self.spent.shortest <= self.predicted.high

    @property
    def impossible(self) -> str | None:
        """Why its time cannot be: the arithmetic takes longer at the device's peak; None where it can."""
        try:
            check_floor(self.name, self.spent.values, self.floor_s)
        except ImpossibleTime as error:
            return str(error)
        return None

    @property
    def memory_error(self) -> float | None:
        """counted / allocated - 1; None for a part, and where PyTorch's allocator has no meter: on a processor."""
        allocated = (self.peaks or {}).get("cuda_allocated_peak")
        return self.counted_bytes / allocated - 1 if self.counted_bytes and allocated else None

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        interval = {"predicted": self.predicted.predicted, "low": self.predicted.low, "high": self.predicted.high}
        return {
            "name": self.name, "kind": self.kind, "predicted_s": interval, "floor_s": self.floor_s,
            "measured_s": self.spent.report(), "error": self.error, "inside": self.inside,
            "load_s": self.load_s, "counted_bytes": self.counted_bytes, "peak_bytes": self.peaks,
            "memory_error": self.memory_error, "sha256": self.sha256,
            "noise": None if math.isnan(self.spent.noise) else self.spent.noise,
        }  # fmt: skip


def compare(
    machine: Machine,
    asked: Sequence[Asked],
    *,
    device: str,
    dtype: Dtype = "float32",
    rounds: int = 5,
    sizes: Sequence[int] = (256, 384, 512),
    parts: bool = True,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Full-size parts at `sizes` and the settings `asked` as whole calls, timed on `device` and compared; JSON-able.

    A network or setting that cannot be run is among `left_out`, with the reason; a time that `machine` cannot reach is
    among `impossible`, with its numbers, and counts nowhere. Raises ValueError for a calibration with another number of
    threads, for a GPU that is known to be another one than `machine`, and where nothing could be run.
    """
    import_s, origin = import_libraries(), provenance()
    check_threads(machine)
    check_here(machine, device)
    rows: list[Row] = []
    missing: list[LeftOut] = []
    with watch_board() as looks:
        for network, make in part_cases(machine, device, dtype, sizes) if parts else ():
            try:
                rows += _timed(make(), device, rounds, progress)
            except Exception as error:  # out of memory, on a small board
                missing.append(left_out(network, error))
        for case in whole_cases(machine, asked, device):
            if isinstance(case, LeftOut):
                missing.append(case)
                continue
            try:
                rows += _timed([case], device, rounds, progress)
            except Exception as error:
                missing.append(left_out(case.name, error))
    if not rows and missing:
        raise ValueError("nothing could be run: " + "; ".join(f"{one.name}: {one.why}" for one in missing))
    return {
        "schema": "sdaug.bench.predict/3",
        **origin,
        "board": looks.facts(),
        "power_mode": {
            "predicted_for": machine.mode or None if isinstance(machine, Device) else None,
            "told_by_the_board": looks.states[-1].power_mode,
        },
        "import_s": import_s,
        "device": machine.name,
        "title": machine.title,
        "calibration": machine.report() if isinstance(machine, Processor) else None,
        "left_out": [asdict(one) for one in missing],
        **summary(rows),
    }


def check_threads(machine: Machine) -> None:
    """Raises ValueError for a processor that was calibrated with another number of threads than run now."""
    import torch

    here = torch.get_num_threads()
    if isinstance(machine, Processor) and machine.threads != here:
        raise ValueError(
            f"{machine.machine} was calibrated with {machine.threads} threads and {here} run now; the same number "
            "expected: set OMP_NUM_THREADS, or `sdaug plan --device cpu --calibrate` anew"
        )


def check_here(machine: Machine, device: str) -> None:
    """Raises ValueError where the GPU `device` is known to be another one than `machine`, or there is none."""
    import torch

    if not isinstance(machine, Device) or device == "cpu":
        return
    if not torch.cuda.is_available():
        raise ValueError(f"PyTorch sees no GPU here; {machine.title} expected, for predictions of it")
    here = device_here(device)
    if here is not None and here.name != machine.name:
        raise ValueError(f"the GPU here is {here.name} ({here.title}); predictions of {machine.name} were asked for")


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Errors, ranks and coverage of the rows whose time can be, of all and of each kind; those rows themselves; and
    what is impossible. Raises ValueError without any row."""
    if not rows:
        raise ValueError("nothing was measured; expected one case or more")
    wrong = [row.report() | {"why": row.impossible} for row in rows if row.impossible]
    rows = [row for row in rows if not row.impossible]
    kinds = {"all": list(rows)} | {kind: [row for row in rows if row.kind == kind] for kind in ("part", "whole")}
    figures = {kind: _figures(found) for kind, found in kinds.items() if found}
    return {"bounds": BOUNDS, "summary": figures, "rows": [row.report() for row in rows], "impossible": wrong}


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    errors = np.abs([row.error for row in rows])
    memory = [abs(row.memory_error) for row in rows if row.memory_error is not None]
    noise = [row.spent.noise for row in rows if not math.isnan(row.spent.noise)]
    return {
        "n": len(rows),
        "median_error": float(np.median(errors)),
        "p95_error": float(np.percentile(errors, 95)),
        "rank_correlation": rank_correlation(
            [row.predicted.predicted for row in rows], [row.spent.shortest for row in rows]
        ),
        "coverage": float(np.mean([row.inside for row in rows])),
        "spread": max(row.predicted.high / row.predicted.low for row in rows),
        "bias": float(np.exp(np.mean(np.log([1 + row.error for row in rows]))) - 1),
        "memory_error": max(memory) if memory else None,
        "noise_median": float(np.median(noise)) if noise else None,
        "noise_p95": float(np.percentile(noise, 95)) if noise else None,
    }


def rank_correlation(predicted: Sequence[float], measured: Sequence[float]) -> float | None:
    """Spearman's, None with fewer than three pairs.

    >>> rank_correlation([1, 2, 4], [10, 30, 20])
    0.5
    """
    if len(predicted) < 3:
        return None
    from scipy.stats import spearmanr

    found: Any = spearmanr(predicted, measured)  # typed as a tuple without names
    return round(float(found.statistic), 6)


def _timed(cases: Sequence[Case], device: str, rounds: int, progress: Callable[[str, int, int], None]) -> list[Row]:
    import torch

    clock = quiet_clock(device, torch.get_num_threads())
    with watch() as memory:
        spent = run_in_turn({case.name: case.run for case in cases}, rounds, settler(device), clock, progress)
    return [
        Row(
            case.name, case.kind, case.predicted, case.floor_s, spent[case.name], case.counted_bytes, case.load_s,
            memory.peaks, case.sha256,
        )
        for case in cases
    ]  # fmt: skip


def table(report: dict[str, Any]) -> str:
    """A line a case and the summary."""
    lines = [f"{report['title']}: predicted before, measured now, the shortest of several", ""]
    lines.append(f"{'case':34} {'predicted s':>22} {'measured s':>11} {'error':>7} {'noise':>6}")
    for row in report["rows"]:
        expected = row["predicted_s"]
        spread = f"{expected['predicted']:.3g} ({expected['low']:.3g}-{expected['high']:.3g})"
        noise = "-" if row["noise"] is None else f"{row['noise']:.1%}"
        mark, shortest = "" if row["inside"] else "  outside", row["measured_s"]["shortest"]
        lines.append(f"{row['name']:34} {spread:>22} {shortest:>11.3g} {row['error']:>+7.1%} {noise:>6}{mark}")
    lines += [f"{one['name']}: left out: {one['why']}" for one in report["left_out"]]
    lines += [f"impossible, and in no figure: {one['why']}" for one in report["impossible"]]
    for kind, found in report["summary"].items():
        rank = "-" if found["rank_correlation"] is None else f"{found['rank_correlation']:.3f}"
        memory = "" if found["memory_error"] is None else f", memory within {found['memory_error']:.1%}"
        lines.append(
            f"{kind}: n {found['n']}, median error {found['median_error']:.1%}, 95 % within {found['p95_error']:.1%}, "
            f"rank {rank}, inside the interval {found['coverage']:.0%} of {COVERAGE:.0%} stated{memory}"
        )
    return "\n".join(lines)
