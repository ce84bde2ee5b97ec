"""How long a piece of work takes on a GPU: each kernel at its own bound, and never faster than it can be launched.

Williams, Waterman and Patterson 2009, Roofline, CACM 52(4): a kernel takes as long as its arithmetic or its traffic,
whichever is longer.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from sdaug.costmodel.device import Device, Precision, Runtime
from sdaug.costmodel.figures import Bound, Figure, Interval
from sdaug.costmodel.work import KINDS, Kind, Op, Work

INT8_KINDS: tuple[Kind, ...] = ("conv3x3", "linear")
"""What an int8 engine computes in int8. Attention stays in float16: TensorRT has no int8 attention for sequences longer
than 512 (NVIDIA/TensorRT #3724)."""

Ends = Mapping[str, Bound]
"""Which figures are taken at their end towards a shorter or a longer time; the others are as they are."""

UNCERTAIN = ("roof", "bandwidth", "efficiency", "classes", "launch")
_OPPOSITE: dict[Bound, Bound] = {"value": "value", "low": "high", "high": "low"}


def precision_of(kind: Kind, dtype: str) -> Precision:
    """What arithmetic a kernel of a network in `dtype` is done in, where PyTorch's defaults are left alone.

    dtype: a torch dtype, or "int8" for an engine.

    >>> precision_of("conv3x3", "float32"), precision_of("linear", "float32"), precision_of("attention", "int8")
    ('tf32', 'float32', 'float16')
    """
    if dtype == "int8":
        return "int8" if kind in INT8_KINDS else "float16"
    if dtype == "float32" and kind == "conv3x3":
        return "tf32"  # torch.backends.cudnn.allow_tf32 is on, that of matmul is off
    known: dict[str, Precision] = {"float32": "float32", "float16": "float16", "bfloat16": "bfloat16"}
    return known[dtype]


def seconds(work: Work, device: Device, dtype: str, runtime: Runtime = "eager") -> Interval:
    """Predicted time of `work`, counted in `dtype` ("int8": counted in float16) and launched one kernel after another.

    The interval takes each figure of the device to its own end in turn and adds the logarithms of what that changes as
    the root of their squares (ISO/IEC Guide 98-3, GUM, 5.1): the figures are wrong independently of each other.
    Raises ValueError for a precision, or a runtime, that the device has no figure of.
    """
    expected = _seconds(work, device, dtype, runtime, {})
    if not expected:
        return Interval(0.0, 0.0, 0.0)

    def farther(end: Bound) -> float:
        moved = [_seconds(work, device, dtype, runtime, {what: end}) for what in UNCERTAIN]
        return math.exp(math.hypot(*(math.log(one / expected) for one in moved)))

    return Interval(expected, expected / farther("low"), expected * farther("high"))


def moved(device: Device, what: str, end: Bound) -> Device:
    """`device` with one kind of its `UNCERTAIN` figures at the end towards a shorter or a longer time.

    >>> from sdaug.costmodel.device import load_device
    >>> moved(load_device("orin-agx-64"), "roof", "high").roof["float16"].value
    33.4
    """

    def at(figure: Figure, end: Bound) -> Figure:
        value = figure.at(end)
        return Figure(value, value, value, figure.source)

    if what == "launch":
        return replace(device, launch_us=at(device.launch_us, end))
    end = _OPPOSITE[end]
    if what == "bandwidth":
        return replace(device, bandwidth=at(device.bandwidth, end))
    figures = {key: at(figure, end) for key, figure in getattr(device, what).items()}
    return replace(device, **{what: figures})


def bound_by(work: Work, device: Device, dtype: str, runtime: Runtime = "eager") -> str:
    """What most of the predicted time is: "launch", "arithmetic" or "traffic"."""
    kept = _kernels(work, runtime)
    if _launching(kept, device, runtime, {}) > _busy(kept, device, dtype, runtime, {}):
        return "launch"
    arithmetic = traffic = 0.0
    for op, n in kept:
        computed, moved = _bounds(op, *_rates(op.kind, device, dtype, {}))
        if computed > moved:
            arithmetic += n * computed
        else:
            traffic += n * moved
    return "arithmetic" if arithmetic > traffic else "traffic"


def floor_seconds(flops: float, device: Device, dtype: str) -> float:
    """Below this nothing can be: all arithmetic at the datasheet's peak, in the fastest units that `dtype` may use.

    A measured time below it is an error of measurement. Raises ValueError where the device has no such units.
    """
    return flops / (_fastest(device, dtype, "peak") * 1e12)


def roof_seconds(flops: float, device: Device, dtype: str) -> float:
    """The same at the rate that was attained by the best matrix products on such a device."""
    return flops / (_fastest(device, dtype, "roof") * 1e12)


def _fastest(device: Device, dtype: str, which: Literal["peak", "roof"]) -> float:
    kinds: tuple[Kind, ...] = ("conv3x3", "linear", "attention")
    used = {precision_of(kind, dtype) for kind in kinds}
    figures = device.peak if which == "peak" else device.roof
    rates = [figure.value for precision, figure in figures.items() if precision in used]
    if not rates:
        raise ValueError(f"{device.name} has no {which} figure for {dtype}; there are: {', '.join(figures)}")
    return max(rates)


def _seconds(work: Work, device: Device, dtype: str, runtime: Runtime, ends: Ends) -> float:
    kept = _kernels(work, runtime)
    return max(_busy(kept, device, dtype, runtime, ends), _launching(kept, device, runtime, ends))


def _kernels(work: Work, runtime: Runtime) -> list[tuple[Op, int]]:
    """A compiler fuses elementwise kernels into their neighbours, at best without any traffic of their own."""
    fused = runtime in ("compiled", "engine")
    return [(op, n) for op, n in work.ops if not (fused and op.kind == "elementwise")]


def _busy(kernels: list[tuple[Op, int]], device: Device, dtype: str, runtime: Runtime, ends: Ends) -> float:
    name: Runtime = "eager" if runtime == "graphs" else runtime
    if name not in device.efficiency:
        raise ValueError(f"{device.name} has no efficiency for {name!r}; there are: {', '.join(device.efficiency)}")
    rates = {kind: _rates(kind, device, dtype, ends) for kind in KINDS}
    roofline = sum(n * max(_bounds(op, *rates[op.kind])) for op, n in kernels)
    return roofline / _rate(device.efficiency[name], "efficiency", ends)


def _rates(kind: Kind, device: Device, dtype: str, ends: Ends) -> tuple[float | str, float]:
    """Operations a second, or why there is no figure for them, and bytes a second."""
    precision = precision_of(kind, dtype)
    share = _rate(device.classes[kind], "classes", ends) if kind in device.classes else 1.0
    # In an int8 engine what such a layer reads and writes takes a byte a number, not the two it was counted with.
    moved = _rate(device.bandwidth, "bandwidth", ends) * 1e9 * (2 if precision == "int8" else 1)
    if precision not in device.roof:
        return f"{device.name} has no roof for {precision}; there are: {', '.join(device.roof)}", moved
    return _rate(device.roof[precision], "roof", ends) * 1e12 * share, moved


def _bounds(op: Op, computes: float | str, moves: float) -> tuple[float, float]:
    """Seconds of arithmetic and of traffic at the roof."""
    if not op.flops:
        return 0.0, op.bytes / moves
    if isinstance(computes, str):
        raise ValueError(computes)
    return op.flops / computes, op.bytes / moves


def _launching(kernels: list[tuple[Op, int]], device: Device, runtime: Runtime, ends: Ends) -> float:
    if runtime in ("graphs", "engine"):
        return 0.0
    return sum(n for _, n in kernels) * device.launch_us.at(ends.get("launch", "value")) * 1e-6


def _rate(figure: Figure, what: str, ends: Ends) -> float:
    """The higher a rate, the shorter the time."""
    return figure.at(_OPPOSITE[ends.get(what, "value")])
