"""A processor whose operators were timed on it (`calibrate.py`): what a piece of work takes there.

On a processor a kernel's traffic does not hide behind its arithmetic as on a GPU: both are added, each at the rate that
was measured for its class of operators, and corrected by what operators of about the same size took (`nearby`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sdaug.costmodel.figures import Interval
from sdaug.costmodel.nearby import Seen, correction
from sdaug.costmodel.work import KINDS, Kind, Op, Work

SCHEMA = "sdaug.calibration/2"

FRESH_BYTES = 2**25
"""From 32 MiB on glibc takes every allocation from the system and gives it back (mallopt(3), M_MMAP_THRESHOLD), so that
each page of it is touched for the first time, which takes longer than writing it does."""


@dataclass(frozen=True)
class Rate:
    """Of one class of operators, each 0 or more: seconds for a floating point operation, a byte read, a byte written,
    and a call.

    error: median of |predicted / measured - 1| over the operators that it was fitted to; n: their number.
    """

    flop_s: float
    read_s: float
    write_s: float
    launch_s: float
    error: float
    n: int


@dataclass(frozen=True)
class Processor:
    """rates, seen: by dtype and class of operators. fresh_s: for a byte of an answer of `FRESH_BYTES` or more, on top.

    low, high: shares of a predicted time between which measured ones lie, of operators that no rate was fitted to.
    peak_gflops: of its instruction set, which nothing can beat. machine: whose calibration it is, from
    `measure.environment.device_class`. threads: that were used.
    """

    machine: str
    threads: int
    memory_gb: float
    peak_gflops: Mapping[str, float]
    rates: Mapping[str, Mapping[Kind, Rate]]
    seen: Mapping[str, Mapping[Kind, Sequence[Seen]]]
    fresh_s: float
    low: float
    high: float
    date: str

    @property
    def name(self) -> str:
        return "cpu"

    @property
    def title(self) -> str:
        return f"{self.machine}, {self.threads} threads, calibrated {self.date}"

    @property
    def unified_memory(self) -> bool:
        """There is no memory but the processor's."""
        return True

    def report(self) -> dict[str, Any]:
        """JSON-able; `read_processor` reads it."""
        return {"schema": SCHEMA} | asdict(self)


def read_processor(content: Mapping[str, Any]) -> Processor:
    """From what `Processor.report` gave. Raises ValueError for another schema."""
    if content.get("schema") != SCHEMA:
        raise ValueError(
            f"a calibration of schema {content.get('schema')!r}; {SCHEMA!r} expected: "
            "`sdaug plan --device cpu --calibrate` makes one"
        )
    rates = {
        dtype: {kind: Rate(**rate) for kind, rate in by_kind.items()} for dtype, by_kind in content["rates"].items()
    }
    seen = {
        dtype: {kind: tuple(Seen(**one) for one in some) for kind, some in by_kind.items()}
        for dtype, by_kind in content["seen"].items()
    }
    fields = {key: value for key, value in content.items() if key not in ("schema", "rates", "seen")}
    return Processor(rates=rates, seen=seen, **fields)


def seconds(work: Work, processor: Processor, dtype: str) -> Interval:
    """Predicted time of `work`, counted in `dtype`. Raises ValueError for a dtype that was not calibrated."""
    if dtype not in processor.rates:
        raise ValueError(f"{processor.machine} is not calibrated for {dtype}; it is for {', '.join(processor.rates)}")
    rates, seen = processor.rates[dtype], processor.seen.get(dtype, {})
    found = sum(
        n * kernel_seconds(op, rates[op.kind], processor.fresh_s) * correction(op, seen.get(op.kind, ()))
        for op, n in work.ops
    )
    return Interval(found, found * processor.low, found * processor.high)


def kernel_seconds(op: Op, rate: Rate, fresh_s: float) -> float:
    """What one kernel takes by its rate."""
    moved = (op.bytes - op.written) * rate.read_s + op.written * rate.write_s + fresh_bytes(op) * fresh_s
    return op.flops * rate.flop_s + moved + rate.launch_s


def fresh_bytes(op: Op) -> int:
    """Of the answer, on pages that the system has yet to hand out."""
    return op.written if op.written >= FRESH_BYTES else 0


def floor_seconds(flops: float, processor: Processor, dtype: str) -> float:
    """Below this nothing can be; a measured time below it is an error of measurement."""
    known = processor.peak_gflops
    if dtype not in known:
        raise ValueError(f"{processor.machine} has no peak for {dtype}; there are: {', '.join(known)}")
    return flops / (known[dtype] * 1e9)


def check_rates(rates: Mapping[Kind, Rate]) -> None:
    """Raises ValueError unless every class of operators has a rate."""
    missing = [kind for kind in KINDS if kind not in rates]
    if missing:
        raise ValueError(f"no rate for {', '.join(missing)}; one expected for each of {', '.join(KINDS)}")
