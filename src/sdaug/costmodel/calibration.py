"""Two minutes of timing single operators, and from it what any network takes on this computer's processor."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import psutil

from sdaug.costmodel.nearby import Seen
from sdaug.costmodel.operators import Operator, operators
from sdaug.costmodel.processor import Processor, Rate, check_rates, fresh_bytes, kernel_seconds, read_processor
from sdaug.costmodel.work import Kind, Op
from sdaug.measure.arithmetic import has_arithmetic
from sdaug.measure.cache import cache_folder
from sdaug.measure.clock import quiet_clock
from sdaug.measure.environment import device_class
from sdaug.record import write_json

DTYPES = ("float32", "bfloat16")
ROUNDS, CALLS = 3, 3
"""Of all operators, one after the other, and of one operator in a round. What counts is the median of the rounds'
shortest calls: what disturbs lasts for seconds, and a network runs too long to find nothing but quiet moments."""

MOVING: tuple[Kind, ...] = ("elementwise", "norm")
"""Classes that hardly do more than move."""

EVICTED_BYTES = 2**27
"""Read between two calls, more than a processor's share of its last cache: weights lie in memory again. Not written, or
the next operator would pay for what is written back."""

LOW, HIGH = 0.70, 1.45
"""What a measured time is of a predicted one, of `figures.COVERAGE` of them: a prior from the first comparison (`sdaug
bench predict`). Frozen before the comparison whose result, with the coverage that it had, is in experiments/results."""

HIGHEST_GHZ = 7.0
"""Above any clock that is sold: a floor must not depend on what a virtual machine says its clock is."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Timed:
    """An operator's counted work and its shortest time in seconds."""

    op: Op
    seconds: float


def calibrate(progress: Progress = lambda what, done, total: None, dtypes: Sequence[str] | None = None) -> Processor:
    """This computer's processor, its operators timed now with as many threads as PyTorch uses.

    dtypes: by default those of `DTYPES` that it has arithmetic for; nobody waits for the others.
    """
    import torch

    dtypes = [dtype for dtype in DTYPES if has_arithmetic(dtype)] if dtypes is None else dtypes
    counts = {dtype: sum(1 for _ in operators(dtype)) for dtype in dtypes}
    total, done = ROUNDS * sum(counts.values()), 0
    rounds: dict[tuple[str, str], list[Timed]] = {}
    for _ in range(ROUNDS):
        for dtype in dtypes:
            for operator in operators(dtype):
                progress(f"{dtype} {operator.kind} {operator.name}", done, total)
                rounds.setdefault((dtype, f"{operator.kind} {operator.name}"), []).append(time_operator(operator))
                done += 1
    timed = {
        dtype: [Timed(found[0].op, float(np.median([one.seconds for one in found])))
                for (of, _), found in rounds.items() if of == dtype]
        for dtype in dtypes
    }  # fmt: skip
    rates, fresh_s = fit(timed)
    machine = device_class("cpu")
    threads = torch.get_num_threads()
    return Processor(
        machine=machine,
        threads=threads,
        memory_gb=psutil.virtual_memory().total / 1e9,
        peak_gflops=peak_gflops(threads),
        rates=rates,
        seen=seen_of(timed, rates, fresh_s),
        fresh_s=fresh_s,
        low=LOW,
        high=HIGH,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def fit(timed: Mapping[str, Sequence[Timed]]) -> tuple[dict[str, dict[Kind, Rate]], float]:
    """Rates by dtype and class, and seconds for a byte on a fresh page, from the operators timed in each dtype.

    Raises ValueError where a class has too few.
    """
    fresh_s = max(fit_fresh([one for one in found if one.op.kind in MOVING]) for found in timed.values())
    rates: dict[str, dict[Kind, Rate]] = {}
    for dtype, found in timed.items():
        by_kind: dict[Kind, list[Timed]] = {}
        for one in found:
            by_kind.setdefault(one.op.kind, []).append(one)
        rates[dtype] = {kind: fit_rate(some, fresh_s) for kind, some in by_kind.items()}
        check_rates(rates[dtype])
    return rates, fresh_s


def seen_of(
    timed: Mapping[str, Sequence[Timed]], rates: Mapping[str, Mapping[Kind, Rate]], fresh_s: float
) -> dict[str, dict[Kind, tuple[Seen, ...]]]:
    """By dtype and class, how long each operator took beside what `rates` says."""
    found: dict[str, dict[Kind, tuple[Seen, ...]]] = {}
    for dtype, some in timed.items():
        for one in some:
            op = one.op
            ratio = one.seconds / kernel_seconds(op, rates[dtype][op.kind], fresh_s)
            by_kind = found.setdefault(dtype, {})
            by_kind[op.kind] = (*by_kind.get(op.kind, ()), Seen(op.flops, op.bytes - op.written, op.written, ratio))
    return found


def time_operator(operator: Operator, calls: int = CALLS) -> Timed:
    """The operator counted, then called `calls` times, its weights out of the caches and its inputs in them.

    That is how a network finds them: each weight is used once in a pass, and what an operator reads was just written.
    Timed again and again on the same numbers, a layer of SD1.5's takes two thirds of what it takes in the UNet.
    """
    import torch

    from sdaug.costmodel.count import counting

    with torch.inference_mode():
        with counting() as counter:
            operator.run()
        ops = counter.work.ops
        if len(ops) != 1 or ops[0][1] != 1:
            raise RuntimeError(f"{operator.kind} {operator.name} is {len(ops)} kernels; one expected")
        clock = quiet_clock("cpu", torch.get_num_threads())
        others = torch.ones(EVICTED_BYTES // 4)
        times: list[float] = []
        for _ in range(calls):
            others.sum()
            for tensor in operator.warm:
                tensor.sum()
            started = clock()
            operator.run()
            times.append(clock() - started)
    return Timed(ops[0][0], min(times))


def fit_rate(timed: Sequence[Timed], fresh_s: float = 0.0) -> Rate:
    """What explains all of a class's times best, by least squares of predicted / measured - 1, nothing negative.

    fresh_s: from `fit_fresh`, known beforehand. Raises ValueError with fewer than four operators, one for each rate.

    >>> ops = [Op("linear", 10**6, 10**4, 10**3), Op("linear", 10**7, 10**6, 10**5), Op("linear", 0, 10**5, 10**5)]
    >>> ops.append(Op("linear", 10**5, 10**6, 0))
    >>> rate = fit_rate([Timed(op, op.flops / 1e9 + op.written / 1e8 + 1e-5) for op in ops])
    >>> round(rate.flop_s * 1e9, 3), round(rate.read_s * 1e8, 3), round(rate.write_s * 1e8, 3), round(rate.launch_s, 8)
    (1.0, 0.0, 1.0, 1e-05)
    """
    if len(timed) < 4:
        raise ValueError(f"{len(timed)} timed operators; 4 or more expected")
    seconds = np.array([one.seconds for one in timed])
    known = np.array([fresh_bytes(one.op) * fresh_s for one in timed])
    costs = np.array([[one.op.flops, one.op.bytes - one.op.written, one.op.written, 1.0] for one in timed])
    found = _least(costs, seconds, known)
    flop_s, read_s, write_s, launch_s = (float(share) for share in found)
    error = np.abs((costs @ found + known) / seconds - 1)
    return Rate(flop_s, read_s, write_s, launch_s, float(np.median(error)), len(timed))


def fit_fresh(timed: Sequence[Timed]) -> float:
    """Seconds for a byte on a fresh page, from operators that hardly do more than move; 0 where none was so large."""
    seconds = np.array([one.seconds for one in timed])
    costs = np.array([[one.op.bytes, fresh_bytes(one.op), 1.0] for one in timed])
    return float(_least(costs, seconds, np.zeros(len(timed)))[1])


def _least(costs: np.ndarray, seconds: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(K,) seconds for each unit of `costs` (N, K), none negative, so that costs @ it + known is nearest `seconds`."""
    from scipy.optimize import nnls

    scale = np.maximum(costs.max(0), 1.0)
    return nnls(costs / scale / seconds[:, None], 1 - known / seconds)[0] / scale


def peak_gflops(threads: int) -> dict[str, float]:
    """By dtype, what the instruction set allows `threads` cores at `HIGHEST_GHZ`: nothing can be faster.

    Fused multiply-adds by two units of a core: 16 float32 numbers with AVX-512, 8 with AVX2, 4 with SSE; of an ARM core
    by four units of 4 with NEON, or two of the 16 that SVE allows at most in what is sold. Twice as many 16-bit numbers
    where there are instructions for them, four times as many by ARM's matrix instruction, a tile with AMX.
    """
    flags = _flags()
    arm = bool({"asimd", "sve"} & flags)
    wide = 64 if {"avx512f", "sve"} & flags else 32 if "avx2" in flags or arm else 16
    half = 4 * wide if arm and "bf16" in flags else 2 * wide if "avx512_bf16" in flags else wide
    sixteen = 2 * wide if {"avx512_fp16", "fphp"} & flags else wide
    half, sixteen = 2048 if "amx_bf16" in flags else half, 2048 if "amx_fp16" in flags else sixteen
    by_dtype = {"float32": wide, "bfloat16": half, "float16": sixteen}
    return {dtype: per_cycle * threads * HIGHEST_GHZ for dtype, per_cycle in by_dtype.items()}


def remember_calibration(processor: Processor) -> Path:
    """Kept in `cache_folder()` for this machine and number of cores; returns the file."""
    path = _path(processor.machine)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, processor.report())
    return path


def remembered_calibration() -> Processor | None:
    """The one of this machine with as many cores as this process may use, None where there is none yet."""
    try:
        return read_processor(json.loads(_path(device_class("cpu")).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _path(machine: str) -> Path:
    return cache_folder() / "calibrations" / f"{hashlib.sha256(machine.encode()).hexdigest()[:32]}.json"


def _flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {"avx512f", "avx512_bf16"}  # not known: the widest, so that a floor stays one
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split()}
